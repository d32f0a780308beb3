"""Label sets and small manifests shipped with the program."""
