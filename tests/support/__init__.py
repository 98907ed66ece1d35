"""What tests share: fixtures, references, the simulated device."""
