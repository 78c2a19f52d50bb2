"""What is wrong with a data set: videos that cannot be used, copies, and splits that leak."""
