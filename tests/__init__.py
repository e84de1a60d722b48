"""Makes this folder win over the package named tests that sleap-io installs."""
