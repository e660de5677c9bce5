"""Stage 4: files assigned to layers, files left out, and inputs and outputs of the programs that write layers."""
