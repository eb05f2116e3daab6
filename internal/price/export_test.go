package price

// TableData shows the embedded table to tests.
func TableData(t *Table) Data { return t.data }
