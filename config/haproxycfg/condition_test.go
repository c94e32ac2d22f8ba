package haproxycfg

import (
	"strings"
	"testing"
)

func testEnvironment() *environment {
	return newEnvironment([]string{"V1=one", "EMPTY=", "odd"}, HAProxy{Version: "3.2.26-1", Features: []string{"SSL", "POLL"}, OpenSSL: "OpenSSL 3.5.1 1 Jul 2025"}.complete())
}

// testdata/notices-conditions.txt has more of them, said by HAProxy.
func TestConditions(t *testing.T) {
	for _, tt := range []struct {
		condition string
		want      bool
	}{
		{"", false}, {"0", false}, {"1", true}, {"-1", true}, {"00", false}, {"0x0", false}, {"0x1f", true}, {"017", true},
		{"99999999999999999999999", true}, {"+1", true},
		{"!0", true}, {"!!0", false}, {"! 1", false},
		{"1 && 0 || 1", true}, {"1 || 0 && 0", true}, {"0 && (1 || 1)", false}, {"!(0 || 0)&&1", true}, {"( 1 )", true},
		{"defined(V1)", true}, {"defined(EMPTY)", true}, {"defined(NO)", false}, {"defined( V1)", false}, {"defined", false}, {"defined()", false},
		{`streq(a\ b,"a b")`, true}, {`streq('a,)',"a,)")`, true}, {`streq(\"a\\,"\"a\\")`, true}, {`streq(a\n,a\n)`, true},
		{`streq(\'a\r\t,\'a\r\t)`, true},
		{"streq(a,)", false}, {"streq(,)", true}, {"strneq(a,b)", true}, {"strstr(abc,bc)", true}, {"strstr(abc,)", true},
		{"feature(SSL)", true}, {"feature(SS)", false}, {"enabled(POLL)", true}, {"enabled(poll)", false},
		{"version_atleast(3.2.26)", true}, {"version_atleast(3.2.26-1)", true}, {"version_atleast(3.2.26-2)", false}, {"version_atleast(3.2.27)", false},
		{"version_atleast(3.2.26-dev5)", true}, {"version_before(3.2.27-dev5)", true}, {"version_before(3.2.26-rc1)", false},
		{"version_atleast(3.2.26-dev5-abc-9)", true}, {"version_atleast(3.2.26-foo)", true}, {"version_atleast(3)", true}, {"version_before(3.3)", true},
		{"version_atleast(3.2.26-x-2)", false}, {"version_atleast(3.2.26.1)", false}, {"version_atleast(3-dev)", true},
		// What is no version is below all.
		{"version_atleast(x)", true}, {"version_before(x)", false}, {"version_atleast()", true}, {"version_atleast(1.2.3.4.5)", true}, {"version_before(3.9-dev1x)", false},
		{"version_before(3.9-1-)", false},
		{"openssl_version_atleast(3.5.0)", true}, {"openssl_version_atleast(3.5.1)", false}, {"openssl_version_before(3.6.0)", true},
		{"openssl_version_atleast(1.1.1za)", true}, {"openssl_version_atleast(3.0.0-beta1)", true}, {"openssl_version_atleast(0.9.8-dev)", true}, {"openssl_version_before(8.0.0)", false},
		{"ssllib_name_startswith(OpenSSL 3)", true}, {"ssllib_name_startswith(AWS)", false},
	} {
		if got, err := evalCondition(tt.condition, testEnvironment()); got != tt.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", tt.condition, got, err, tt.want)
		}
	}
}

func TestConditionErrors(t *testing.T) {
	for _, condition := range []string{
		"foo", "1 1", "1x", "0x", "1.0", "(", "()", "(1", "1)", "!", "1 &&", "&& 1", "1 ||", "1 & 1", "1 || foo", "0 && foo",
		"defined(V1", "defined(V1,V2)", "defined(V1)x", "defined (V1)", "streq(a)", "streq", "streq(a,b,c)", `streq("a,b)`, `streq(a\,b,x)`,
		"openssl_version_atleast(3)", "openssl_version_atleast(3.0)", "openssl_version_atleast(x)", "openssl_version_before()",
		"openssl_version_atleast(16.0.0)", "openssl_version_atleast(3.0.0-beta15)", "openssl_version_atleast(3.x.0)",
		strings.Repeat("(", 2000) + "1", strings.Repeat("(", 2000),
	} {
		got, err := evalCondition(condition, testEnvironment())
		if err == nil {
			t.Errorf("%.40s: %v, want an error", condition, got)
		}
	}
	for _, depth := range []int{300, 400} {
		_, err := evalCondition(strings.Repeat("(", depth)+"1"+strings.Repeat(")", depth), testEnvironment())
		if (err != nil) != (depth > 340) {
			t.Errorf("%d parentheses: %v", depth, err)
		}
	}
}

func FuzzCondition(f *testing.F) {
	for _, c := range []string{"1 && !(0 || defined(A))", `streq("a",'b\'') || strstr(a,`, "version_atleast(3.2-dev1-a-1)", "openssl_version_before(1.1.1a)", "0x1f&&08"} {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, c string) {
		got, err := evalCondition(c, testEnvironment())
		if err != nil || c == "" || strings.Count(c, "(") > 300 {
			return
		}
		if not, err := evalCondition("!("+c+" )", testEnvironment()); err != nil || not == got {
			t.Fatalf("%q: %v, and not that: %v, %v", c, got, not, err)
		}
	})
}
