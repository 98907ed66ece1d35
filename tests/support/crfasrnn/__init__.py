"""What tests of package crfasrnn share."""
