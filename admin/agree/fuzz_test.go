package agree

import "testing"

// FuzzParseEntry reads anything as a line of `show table`: what is read agrees with
// itself.
func FuzzParseEntry(f *testing.F) {
	f.Add("0x5565: key=a\\ b use=0 exp=599 shard=0 gpc0=7 http_req_rate(10000)=2")
	f.Add("# table: t1, type: ip, size:1, used:0")
	f.Add("0x: key=")
	f.Add("0x1: key=\\ use= exp=x gpc0 =  =")
	f.Fuzz(func(t *testing.T, line string) {
		e, ok := parseEntry(line)
		if !ok {
			return
		}
		again, _ := parseEntry(line)
		if p := (pair{&e, &again}); !p.agree() || !same(&e, &again) {
			t.Errorf("%q differs from itself: %+v", line, e)
		}
	})
}
