"""Programs that write layers; `deterministic_tar` is where equal input becomes equal bytes."""
