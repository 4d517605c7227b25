"""Our parts inside other people's training; each module imports its library when it is used.

They live under ``nsbench.benchmarks`` because they join samplers to objectives, candidate layouts
and statistics, which are all here; a separate package would be a fourth folder, or the same
files under a second import name.
"""
