"""Read clips from stores: HDF5 files, packs and other Parquet files, local or remote."""
