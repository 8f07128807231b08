package main

const (
	sealFile   = "remote/seal.go"
	valuesFile = "tier/values.go"
)

// valueMutations are the rules of how values are written: bounds, compression, encryption.
var valueMutations = []mutation{
	{
		name: "l2-encryption-ignored", rule: "an encrypted value is a miss for a pod without keys",
		file: valuesFile, old: `if found.KeyID != 0 { // there`, new: `if false { // there`,
		pkg: "tier", run: "^TestSealedValueWithoutKeysIsAMiss$|^TestUnreadableEnvelopeIsOverwritten$",
	},
	{
		name: "sealed-plain-accepted", rule: "a value that is not encrypted is a miss for a pod with keys",
		file: valuesFile, old: "\tif c := sp.cache; c.cfg.Keys != nil {\n\t\tif err := c.cfg.Keys.Open(", new: "\tif c := sp.cache; c.cfg.Keys != nil && found.KeyID != 0 {\n\t\tif err := c.cfg.Keys.Open(",
		pkg: "tier", run: "^TestSealedValueThatDoesNotOpenIsAMiss$",
	},
	{
		name: "sealed-key-unbound", rule: "an encrypted value opens only at the Redis key that it was written for",
		file: sealFile, old: `return e.appendHead(append(b, entryKey...), payload)`, new: `return e.appendHead(b[:0], payload)`,
		pkg: "tier", run: "^TestSealedValueThatDoesNotOpenIsAMiss$",
	},
	{
		name: "sealed-head-unbound", rule: "an encrypted value opens only with the ticks, expiry and tags that it was written with",
		file: sealFile, old: `return e.appendHead(append(b, entryKey...), payload)`, new: `return append(b, entryKey...), nil`,
		pkg: "tier", run: "^TestSealedValueThatDoesNotOpenIsAMiss$",
	},
	{
		name: "sealed-old-key-forgotten", rule: "a value opens with any key of the ring, so that the current one can be exchanged",
		file: sealFile, old: `aead := k.keys.Load().byID[e.KeyID]`, new: "ring := k.keys.Load()\n\taead := ring.byID[ring.current]\n\tif e.KeyID != ring.current {\n\t\taead = nil\n\t}",
		pkg: "tier", run: "^TestRotateKeysUnderLoad$",
	},
	{
		name: "envelope-of-two-forms", rule: "an envelope has one form, so that nothing of it can be altered unseen",
		file: "remote/envelope.go", old: `return n == 1 || n > 1 && b[n-1] != 0`, new: `return n > 0`,
		pkg: "remote", run: "^TestUnreadableEnvelopes$",
	},
	{
		name: "decompress-unbounded", rule: "a payload makes a pod allocate no more than a limit",
		file: "remote/compress.go", old: `if size > limit {`, new: `if false {`,
		pkg: "remote", run: "^TestDecompressIsBounded$",
	},
	{
		name: "value-size-ignored", rule: "a value above MaxValueBytes is in neither tier",
		file: valuesFile, old: `if err == nil && len(payload) > sp.format.maxBytes {`, new: `if false {`,
		pkg: "tier", run: "^TestMaxValueBytes$",
	},
	{
		name: "value-size-of-others-ignored", rule: "a value above MaxValueBytes is a miss, whoever stored it",
		file: valuesFile, old: ` || len(found.Payload) > sp.format.maxBytes {`, new: ` {`,
		pkg: "tier", run: "^TestMaxValueBytesOfOthers$",
	},
	{
		name: "value-not-cloned", rule: "with Clone each reader has a copy of its own",
		file: "tier/space.go", old: `v = s.clone(v)`, new: `_ = v`,
		pkg: "tier", run: "^TestCloneGivesEachReaderItsOwn$",
	},
	{
		name: "value-original-shared", rule: "what DetectMutation compares with shares no memory with the value",
		file: "tier/mutation.go", old: `bytes.Clone(payload) // a`, new: `payload // a`,
		pkg: "tier", run: "^TestDetectMutationOfRawBytes$",
	},
}
