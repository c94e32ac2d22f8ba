// Package entries is the entries of a table as text: what `show table` prints, what
// `set table` takes, and what files have, a list of keys, CSV or JSON lines.
package entries
