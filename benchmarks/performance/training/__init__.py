"""Study of what brings the core to a given error in the least CPU time: settings of training, alone and together."""
