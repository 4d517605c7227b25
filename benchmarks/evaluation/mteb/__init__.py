"""The only room that imports mteb: task names, task data, runs, result files."""
