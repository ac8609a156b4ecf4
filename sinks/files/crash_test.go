package files_test

func runWriter() bool { return false }
