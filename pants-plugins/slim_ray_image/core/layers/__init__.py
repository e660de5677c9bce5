"""Stage 4: the plan of the layers, pruning, and the requests and results of the programs that write layers."""
