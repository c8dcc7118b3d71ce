package stub

// What the stub talks about. A template is a sentence with slots: ~n a noun,
// ~a an adjective, ~v a verb, ~d an adverb, ~t a word of the question, ~# a number.

var templates = []string{
	"The short answer is that ~t depends on the ~n, and the ~n in turn on a ~a ~n.",
	"When people ask about ~t, they usually mean the ~n rather than the ~n.",
	"It helps to ~v the ~n first and to ~v ~t only afterwards.",
	"There are ~# things to keep in mind: the ~n, a ~a ~n, and how ~t will ~v over time.",
	"In practice, most teams ~d ~v the ~a ~n before they look at ~t.",
	"A ~a ~n is not the same as a ~a ~n, even though both mention ~t.",
	"If the ~n is ~a, then ~t can ~d ~v without touching the ~n.",
	"You may want to ~v ~t with a ~n – it takes about ~# minutes and leaves the ~n as it was.",
	"One caveat: the ~n of ~t was ~d measured on a ~a ~n, so the figure of ~# percent is a guess.",
	"Think of ~t as a ~n that someone left in a ~a ~n.",
	"What matters for ~t is whether the ~n can ~v when the ~n does not.",
	"As a rule of thumb, a ~n of ~# is ~a enough for ~t.",
	"The ~n doesn't ~v by itself; ~t has to ~v it.",
	"“~t” is a naïve name for a ~a ~n, but it has stuck.",
	"To be precise, the ~n should ~d ~v, and ~t should follow within ~# days.",
	"My suggestion: ~v the ~n, ~v the ~n, and leave ~t for later.",
	"That said, ~t remains ~a, and no ~n will ~v that.",
	"Older notes call the ~n of ~t \"~a\"; newer ones prefer the word ~a.",
	"Suppose the ~n arrives late: would ~t still ~v, or would the ~n become ~a?",
	"For a ~a case such as ~t, keep the ~n and the ~n apart.",
}

var thoughts = []string{
	"The user asks about ~t. I should look at the ~n first.",
	"There might be a ~a ~n hidden in the question about ~t.",
	"Let me check whether the ~n can ~v: ~# of ~# say yes.",
	"If I ~v the ~n, then ~t becomes ~a, which is what they want.",
	"Wait, the ~n and the ~n are two things here.",
	"So the answer on ~t should mention the ~n and stay ~a.",
}

var nouns = []string{
	"ledger", "harbour", "schedule", "budget", "forecast", "garden", "engine", "contract", "museum", "river",
	"committee", "recipe", "bridge", "archive", "signal", "market", "kitchen", "orchard", "protocol", "railway",
	"telescope", "invoice", "library", "workshop", "compass", "village", "reservoir", "manuscript", "battery", "glacier",
	"orchestra", "pipeline", "lighthouse", "warranty", "café", "cathedral", "thermostat", "inventory", "festival", "tunnel",
	"survey", "prototype", "queue", "vineyard", "calendar", "satellite", "policy", "notebook", "quarry", "estuary",
	"checklist", "catalogue", "greenhouse", "dataset", "deadline", "tariff", "migration", "keyboard", "ferry", "workload",
	"résumé", "portfolio", "mailbox", "windmill",
}

var adjectives = []string{
	"small", "reliable", "unusual", "modest", "portable", "seasonal", "careful", "redundant", "bright", "provisional",
	"ancient", "transparent", "steady", "ambitious", "narrow", "generous", "quiet", "experimental", "regional", "sturdy",
	"shared", "hidden", "flexible", "delicate", "official", "remote", "gradual", "familiar", "hollow", "practical",
	"costly", "long-standing",
}

var verbs = []string{
	"inspect", "rearrange", "compare", "postpone", "measure", "repair", "describe", "simplify", "replace", "balance",
	"translate", "expand", "verify", "collect", "insulate", "negotiate", "rehearse", "label", "divide", "restore",
	"schedule", "question", "summarize", "adapt", "observe", "connect", "trim", "illustrate", "monitor", "approve",
	"survive", "document",
}

var adverbs = []string{
	"quietly", "usually", "carefully", "rarely", "first", "already", "openly", "gradually",
	"often", "merely", "properly", "eventually", "sensibly", "roughly", "promptly", "jointly",
}

// sayings stand in where the question gives no word to take up.
var sayings = []string{"this topic", "the matter", "the question", "your idea", "the plan", "that", "the result", "the task"}

var refusals = []string{
	"I'm sorry, but I can't help with that request.",
	"I can't assist with this. If you like, I can point you to general information instead.",
	"I'm not able to help with that.",
	"Sorry, that is something I won't do.",
}

// stopwords are words of a question that say nothing about its subject.
var stopwords = wordSet("about after again also and any are because been before being between but can could did do does doing " +
	"each every exactly for from give have here how into its just know let like make many may me more most much must my need not " +
	"now one only other our out over please same say should show some something such tell than that the their them then there " +
	"these they thing this those through under until use using very want was way well were what when where which while who why " +
	"will with would write you your yours")

func wordSet(list string) map[string]bool {
	m := make(map[string]bool)
	from := 0
	for i := 0; i <= len(list); i++ {
		if i == len(list) || list[i] == ' ' {
			m[list[from:i]] = true
			from = i + 1
		}
	}
	return m
}
