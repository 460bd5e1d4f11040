"""What another package can bring to mfbench, each by one entry point."""
