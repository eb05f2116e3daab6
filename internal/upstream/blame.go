package upstream

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// blame is what an error answer is about, as far as the API key that it was
// given is concerned.
type blame int

const (
	request  blame = iota // the request: another API key would get the same answer
	scope                 // what this key may do, or this request with it: the key stays, another one may do better
	rate                  // its rate limit: it rests for as long as the upstream asks
	unfunded              // its account has no credit left: it rests for minutes
	badKey                // it is not valid: it is set aside
)

// ruling is one row of rulings. A row without codes and message matches every
// answer with one of its statuses.
type ruling struct {
	statuses []int
	codes    []string       // in lower case, without underscores; see codesOf
	message  *regexp.Regexp // of the error's message in lower case
	blame    blame
}

// rulings is the one table from an error answer to what it means for the API
// key. The first row that matches counts. An upstream answers 401 and 403 for
// many reasons, and most are about the request: missing scopes, another
// organisation, a browser's origin, a model that the project has not. If those
// condemned the key, one client could stop the gateway for all. So a key is set
// aside only if the words of the answer are about a bad key.
//
// Upstreams quote clients in their errors. So a message counts by how it
// starts, and that of a 400 only by the exact words of a provider.
var rulings = []ruling{
	{statuses: []int{402}, blame: unfunded},
	{statuses: []int{400, 401, 403, 429}, codes: noCredit, blame: unfunded},
	{statuses: []int{400}, message: noCreditStrict, blame: unfunded},
	{statuses: []int{403, 429}, message: noCreditMessage, blame: unfunded},
	{statuses: []int{429}, blame: rate},
	{statuses: []int{401, 403}, codes: aboutScope, blame: scope},
	{statuses: []int{400, 401, 403}, codes: badKeyCodes, blame: badKey},
	{statuses: []int{400}, message: badKeyStrict, blame: badKey},
	{statuses: []int{401, 403}, message: badKeyMessage, blame: badKey},
	{statuses: []int{401, 403}, message: badAccountMessage, blame: badKey},
	{statuses: []int{401, 403}, blame: scope},
}

// The codes, types and reasons of errors as providers document them.
var (
	noCredit = []string{
		"insufficientquota", "insufficientuserquota", "billinghardlimitreached", "billingnotactive", // OpenAI and its gateways
		"billingerror",                                              // Anthropic
		"billingdisabled",                                           // Google, ErrorInfo.reason
		"insufficientcredits", "insufficientbalance", "creditlimit", // OpenRouter, DeepSeek and others
		"arrearage", "allocationquota.freetieronly", // DashScope
	}
	aboutScope = []string{
		"mismatchedorganization", "mismatchedproject", "invalidorganization", "missingscope", "missingscopes",
		"insufficientpermissions", "ipnotauthorized", // OpenAI
		"accesstokentypeunsupported", "credentialsmissing", "apikeyserviceblocked", "apikeyhttpreferrerblocked",
		"apikeyipaddressblocked", "servicedisabled", // Google
	}
	badKeyCodes = []string{
		"invalidapikey", "incorrectapikey", "wrongapikey", "apikeyinvalid", "apikeyexpired", "apikeydisabled",
		"apikeyrevoked", "apikeynotfound", "keyexpired", "keydisabled", "keyrevoked", "tokenexpired", "tokenrevoked",
		"tokennotfoundindb", "accesstokenexpired", "expiredtokenexception", "unrecognizedclientexception",
		"invalidauthenticationerror", "accountdeactivated", "accountdisabled", "accountsuspended",
		"organizationdeactivated", "organizationdisabled", "consumersuspended", "consumerinvalid", "userdeactivated",
	}
)

// The messages. What is wrong with a key and the name of the key stand next to
// each other but for filler words: "the model does not exist or this API key
// may not use it" must not match.
const (
	keyName   = `(api[ _-]?(key|token)|x-api-key|(bearer|access|oauth|auth|authentication) token|subscription key|secret key|proxy server token|(authentication )?credentials)`
	keyFault  = `(invalid|incorrect|not valid|wrong|expired|revoked|disabled|deactivated|deleted|suspended|leaked|compromised|not found|does not exist|doesn't exist|unknown|no longer valid)`
	between   = `( (or|and|expired|missing|provided|virtual|openai|the|your|this|an?))* `
	after     = `( (you|provided|that|used|sent|is|was|has|have|been|reported|as|either|already)|:? ?['"(]?[^ ]*\*[^ ]*)* `
	beginning = `^[^.;:\n]{0,60}?\b`
)

var (
	noCreditStrict    = regexp.MustCompile(`^your credit balance is too low`)
	noCreditMessage   = regexp.MustCompile(beginning + `(credit balance is too low|insufficient (account )?(balance|credits?|funds)|out of credits|used all available credits|key limit exceeded|billing hard limit)`)
	badKeyStrict      = regexp.MustCompile(`^(incorrect api key provided|invalid api key|api key (not valid|expired|not found))`)
	badKeyMessage     = regexp.MustCompile(beginning + `(` + keyFault + between + keyName + `|` + keyName + after + keyFault + `)|^(authentication fails|invalid authentication$|user not found)`)
	badAccountMessage = regexp.MustCompile(beginning + `(account|organization|consumer)[^.;:\n]{0,60}? (is|was|has been|have been) ((currently|temporarily|now) )?(deactivated|disabled|suspended|terminated|banned)`)
)

// blameOf returns what an answer with the status, and with the start of its
// body, is about.
func blameOf(status int, body []byte) blame {
	var codes []string
	message := ""
	if len(body) > 0 {
		codes = codesOf(body)
		message = messageOf(body)
	}
	for _, row := range rulings {
		if slices.Contains(row.statuses, status) && row.matches(codes, message) {
			return row.blame
		}
	}
	return request
}

func (r *ruling) matches(codes []string, message string) bool {
	switch {
	case r.message != nil:
		return r.message.MatchString(message)
	case r.codes != nil:
		return slices.ContainsFunc(codes, func(code string) bool { return slices.Contains(r.codes, code) })
	}
	return true
}

// codesOf returns the codes of an error body in all forms that are known, as
// rulings compare them: OpenAI's error.code and error.type, Google's
// error.status and error.details[].reason, Anthropic's error.type, and the
// same members without "error" around them.
func codesOf(body []byte) (codes []string) {
	found := gjson.GetManyBytes(body, "error.code", "error.type", "error.status", "code", "type", "error_code", "__type")
	found = append(found, gjson.GetBytes(body, "error.details.#.reason").Array()...)
	for _, value := range found {
		if value.Type == gjson.String && value.Str != "" {
			codes = append(codes, strings.ReplaceAll(strings.ToLower(value.Str), "_", ""))
		}
	}
	return codes
}

// messageOf returns the message of an error body in lower case: the member that
// holds it in the forms that are known, or the text itself if it is no JSON.
func messageOf(body []byte) string {
	text := strings.TrimSpace(string(body))
	if strings.HasPrefix(text, "[") { // Google answers a stream of JSON with an array of one error
		text = strings.TrimSpace(text[1:])
	}
	if strings.HasPrefix(text, "{") {
		message := ""
		for _, path := range [...]string{"error.message", "message", "detail", "error", "errors.0.message", "error_description"} {
			if v := gjson.Get(text, path); v.Type == gjson.String && v.Str != "" {
				message = v.Str
				break
			}
		}
		text = message
	}
	return strings.ToLower(text[:min(len(text), 400)])
}

// isRefusal reports whether the body of an answer can mean something for the
// API key that its status does not.
func isRefusal(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return true
	}
	return false
}
