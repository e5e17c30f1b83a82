"""What the benchmark commands share: cases, streams as files, the programs that are measured."""
