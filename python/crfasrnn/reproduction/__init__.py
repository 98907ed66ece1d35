"""The paper's tables from one command each: `crfasrnn reproduce`."""
