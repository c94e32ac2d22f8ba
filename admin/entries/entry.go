package entries

// An Entry is one of a table, or what is to become of one.
type Entry struct {
	Key    string // as the table has it, nothing escaped
	Expire int64  // what is left of its lifetime in ms, 0 where that is not told
	Use    string // how many streams use it, "" where that is not told
	Fields []Field
}

// A Field is a value of an entry, with the name by which commands know it: gpc0,
// gpc[2], http_req_rate.
type Field struct {
	Name  string
	Shown string // the name by which `show table` knows it: gpc0, gpc2, http_req_rate(10000)
	Value string
}

// Get is the value of the field of that name.
func (e *Entry) Get(name string) (value string, found bool) {
	for i := range e.Fields {
		if e.Fields[i].Name == name {
			return e.Fields[i].Value, true
		}
	}
	return "", false
}

// Set sets the value of a field.
func (e *Entry) Set(f Field) {
	for i := range e.Fields {
		if e.Fields[i].Name == f.Name {
			e.Fields[i] = f
			return
		}
	}
	e.Fields = append(e.Fields, f)
}

// Same reports whether e, which is there, has what is wanted: all its fields, and, if
// it names a lifetime, at least half of it and not more. Otherwise one that is wanted
// again and again would be renewed each time.
func (e *Entry) Same(wanted *Entry) bool {
	for i := range wanted.Fields {
		f := &wanted.Fields[i]
		if value, found := e.Get(f.Name); !found || value != f.Value {
			return false
		}
	}
	return wanted.Expire == 0 || e.Expire >= wanted.Expire/2 && e.Expire <= wanted.Expire
}
