"""Published numbers as data, one file per suite; `nsbench reproduce` reads them."""
