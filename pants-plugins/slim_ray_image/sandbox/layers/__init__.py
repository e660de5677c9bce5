"""Programs that write layers; their module `deterministic_tar` turns equal input into equal bytes."""
