"""Pictures for papers: sheets of cases, the CRF's matrices, curves."""
