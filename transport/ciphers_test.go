package transport

import (
	"slices"
	"strings"
	"testing"
)

// What a list selects is what OpenSSL 3.0 selects by it of those suites that Go has.
func TestSuitesOf(t *testing.T) {
	all := names("ALL")
	if len(all) != len(suites) {
		t.Fatalf("ALL is %q", all)
	}
	for _, test := range []struct{ list, want, missing string }{
		{"", "", ""},
		{"HIGH:!aNULL:!MD5", strings.Join(all, " "), ""},
		{"DEFAULT:!FIPS", "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305", ""},
		{"ALL:!AESGCM:!CBC", "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305", ""},
		{"CHACHA20", "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305", ""},
		{"RSA", "AES128-GCM-SHA256 AES128-SHA AES128-SHA256 AES256-GCM-SHA384 AES256-SHA", ""},
		{"SHA256", "AES128-SHA256 ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256", ""},
		{"SSLv3", "AES128-SHA AES256-SHA", ""},
		{"TLSv1", "ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES128-SHA ECDHE-RSA-AES256-SHA", ""},
		{"TLSv1.2+aECDSA+AES256", "ECDHE-ECDSA-AES256-GCM-SHA384", ""},
		{"EECDH+AESGCM+AES128", "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256", ""},
		{"ECDH:!aRSA:-CBC", "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305", ""},
		{"AES256-SHA,AES128-SHA AES128-SHA256;@STRENGTH", "AES128-SHA AES128-SHA256 AES256-SHA", ""},
		{"AES128-SHA:-AES:AES128-SHA", "AES128-SHA", ""},
		{"AES128-SHA:!AES:AES128-SHA:+AES", "", ""},
		{"TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", ""},
		{"AES128-SHA:DHE-RSA-AES128-SHA:3DES:!junk:-junk:+junk:@SECLEVEL=0", "AES128-SHA", "DHE-RSA-AES128-SHA 3DES @SECLEVEL=0"},
		{"!:+:-:AES+", "", "AES+"},
	} {
		_, missing := suitesOf(test.list)
		if got := strings.Join(names(test.list), " "); got != test.want || strings.Join(missing, " ") != test.missing {
			t.Errorf("%q: %q, missing %q, want %q, %q", test.list, got, missing, test.want, test.missing)
		}
	}
}

func names(list string) (all []string) {
	ids, _ := suitesOf(list)
	for _, s := range suites {
		if slices.Contains(ids, s.id) {
			all = append(all, s.words[0])
		}
	}
	return all
}

// Any list gives suites of Go's, each once, and "!ALL" behind it gives none.
func FuzzSuitesOf(f *testing.F) {
	for _, list := range []string{"HIGH:!aNULL:!MD5", "ECDHE+AESGCM:-kRSA,AES128-SHA;@STRENGTH", "!:+:-", "a+b+", ":::"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		ids, _ := suitesOf(list)
		if slices.Sort(ids); len(slices.Compact(slices.Clone(ids))) != len(ids) || len(ids) > len(suites) {
			t.Errorf("%q: %x", list, ids)
		}
		if ids, _ := suitesOf(list + ":!ALL"); len(ids) > 0 {
			t.Errorf("%q:!ALL leaves %x", list, ids)
		}
	})
}
