"""Matrix files that ship with the package; `nsbench list suites` shows them."""
