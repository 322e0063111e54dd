"""The benchmark: ftpsd beside its peers on one machine, told in ratios. See README.md."""
