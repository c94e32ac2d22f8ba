package transport

import (
	"crypto/tls"
	"slices"
	"strings"
)

// A suite is a cipher suite of TLS 1.2 and before that Go has. Its words are
// OpenSSL's: its name first, and those for many at once.
type suite struct {
	id    uint16
	words []string
}

// The words of key exchange and authentication, and those of the rest.
const (
	kECDSA = " ECDHE kECDHE EECDH kEECDH ECDH ECDSA aECDSA"
	kRSA   = " ECDHE kECDHE EECDH kEECDH ECDH aRSA"
	kPlain = " RSA kRSA aRSA"

	gcm128  = " AESGCM AES AES128 TLSv1.2 FIPS"
	gcm256  = " AESGCM AES AES256 TLSv1.2 FIPS"
	chacha  = " CHACHA20 TLSv1.2"
	cbc     = " AES CBC SHA SHA1 FIPS TLSv1 TLSv1.0"
	cbcOld  = " AES CBC SHA SHA1 FIPS SSLv3"
	cbcSHA2 = " AES AES128 CBC SHA256 FIPS TLSv1.2"
)

// suites are Go's; in which order they are taken is Go's choice too.
var suites = func() (all []suite) {
	for id, words := range map[uint16]string{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "ECDHE-ECDSA-AES128-GCM-SHA256" + kECDSA + gcm128,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "ECDHE-RSA-AES128-GCM-SHA256" + kRSA + gcm128,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384" + kECDSA + gcm256,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         "ECDHE-RSA-AES256-GCM-SHA384" + kRSA + gcm256,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305" + kECDSA + chacha,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "ECDHE-RSA-CHACHA20-POLY1305" + kRSA + chacha,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA:          "ECDHE-ECDSA-AES128-SHA AES128" + kECDSA + cbc,
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA:            "ECDHE-RSA-AES128-SHA AES128" + kRSA + cbc,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:          "ECDHE-ECDSA-AES256-SHA AES256" + kECDSA + cbc,
		tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA:            "ECDHE-RSA-AES256-SHA AES256" + kRSA + cbc,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256:       "ECDHE-ECDSA-AES128-SHA256" + kECDSA + cbcSHA2,
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256:         "ECDHE-RSA-AES128-SHA256" + kRSA + cbcSHA2,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256:               "AES128-GCM-SHA256" + kPlain + gcm128,
		tls.TLS_RSA_WITH_AES_256_GCM_SHA384:               "AES256-GCM-SHA384" + kPlain + gcm256,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA:                  "AES128-SHA AES128" + kPlain + cbcOld,
		tls.TLS_RSA_WITH_AES_256_CBC_SHA:                  "AES256-SHA AES256" + kPlain + cbcOld,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA256:               "AES128-SHA256" + kPlain + cbcSHA2,
	} {
		all = append(all, suite{id, append(strings.Fields(words), tls.CipherSuiteName(id), "ALL", "DEFAULT", "HIGH")})
	}
	slices.SortFunc(all, func(a, b suite) int { return strings.Compare(a.words[0], b.words[0]) })
	return all
}()

// is reports whether all words, with a "+" between them, are of the suite.
func (s suite) is(words string) bool {
	for word := range strings.SplitSeq(words, "+") {
		if !slices.Contains(s.words, word) {
			return false
		}
	}
	return true
}

// suitesOf reads a list of OpenSSL's, as in HIGH:!kRSA. missing are those of its
// words that would add suites, and add none here.
func suitesOf(list string) (ids []uint16, missing []string) {
	added, banned := map[uint16]bool{}, map[uint16]bool{}
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(":,; ", r) }) {
		verb := word[0]
		if strings.IndexByte("!-+", verb) >= 0 {
			word = word[1:]
		}
		some := false
		for _, s := range suites {
			if !s.is(word) {
				continue
			}
			some = true
			switch verb {
			case '+': // to the end, and the order is Go's
			case '!', '-':
				delete(added, s.id)
				banned[s.id] = banned[s.id] || verb == '!'
			default:
				added[s.id] = !banned[s.id]
			}
		}
		if !some && verb != '!' && verb != '-' && verb != '+' && word != "@STRENGTH" {
			missing = append(missing, word)
		}
	}
	for _, s := range suites {
		if added[s.id] {
			ids = append(ids, s.id)
		}
	}
	return ids, missing
}
