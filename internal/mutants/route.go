package main

const (
	routerFile = "cdc/router.go"
	applyFile  = "cdc/apply.go"
)

// routeMutations are the rules by which a change outdates all that it has to.
var routeMutations = []mutation{
	{
		name: "route-missing-column-skipped", rule: "an event that lacks a column of a rule outdates all of its entity",
		file: routerFile, old: `case r.optional && r.harmless(e):`, new: `case true:`,
		pkg: "cdc", run: "^TestRules$",
	},
	{
		name: "route-optional-whatever-changed", rule: "a column that an optional rule lacks is harmless only if it is known not to have changed",
		file: routerFile, old: `case r.optional && r.harmless(e):`, new: `case r.optional:`,
		pkg: "cdc", run: "^TestRules$",
	},
	{
		name: "route-optional-ignores-when", rule: "nor may one of the columns have changed by which the rule counts",
		file: routerFile, old: ` && !anyChanged(e.Changed, r.when)`, new: ``,
		pkg: "cdc", run: "^TestRules$",
	},
	{
		name: "route-unknown-is-unchanged", rule: "an update of which it is unknown what changed counts for every rule",
		file: routerFile, old: `e.Changed == nil || anyChanged(e.Changed, r.when)`, new: `anyChanged(e.Changed, r.when)`,
		pkg: "cdc", run: "^TestRules$",
	},
	{
		name: "route-part-is-another-column", rule: "a part of a column that changed is a change of the column",
		file: routerFile, old: `strings.HasPrefix(b, a) && (len(a) == len(b) || b[len(a)] == '.')`, new: `strings.HasPrefix(b, a) && len(a) == len(b)`,
		pkg: "cdc", run: "^TestRules$",
	},
	{
		name: "route-old-version-ignored", rule: "every version of a row gives names",
		file: routerFile, old: "for _, row := range e.Rows {\n\t\tlacks :=", new: "for _, row := range e.Rows[:1] {\n\t\tlacks :=",
		pkg: "cdc", run: "^TestRules$",
	},
	{
		name: "route-raw-form-not-sent", rule: "a value is outdated as it is, too, where tier.ID writes it otherwise",
		file: routerFile, old: `if differs {`, new: `if false && differs {`,
		pkg: "cdc", run: "^TestRuleNamesAreThoseOfTier$",
	},
	{
		name: "route-not-escaped", rule: "a value is outdated as tier.ID writes it",
		file: "cdc/template.go", old: `case c <= ' ', c == 0x7f,`, new: `case c == ' ', c == 0x7f,`,
		pkg: "cdc", run: "^TestRuleNamesAreThoseOfTier$",
	},
	{
		name: "route-unreadable-event", rule: "an event that its source could not read outdates all of its entity",
		file: routerFile, old: `case e.Err != nil:`, new: `case false:`,
		pkg: "cdc", run: "^TestUnreadable$",
	},
	{
		name: "route-unknown-entity", rule: "an event of an unknown entity flushes the feed",
		file: applyFile, old: `case e.Entity == "":`, new: `case false:`,
		pkg: "cdc", run: "^TestUnreadable$",
	},
	{
		name: "collapse-without-all", rule: "a transaction whose rows are skipped has outdated all of their entity",
		file: applyFile, old: "\t\tm.names.add(r.all)\n", new: "",
		pkg: "cdc", run: "^TestCollapse$",
	},
	{
		name: "collapse-across-transactions", rule: "the next transaction's rows are counted anew",
		file: "cdc/collapse.go", old: "\t\tclear(c.rows)\n", new: "",
		pkg: "cdc", run: "^TestCollapse$",
	},
	{
		name: "collapse-sees-routed-only", rule: "also when only changes of no route tell the two apart",
		file: applyFile, old: "\t\tm.collapse.see(e)\n\t\tr, ok := f.router[e.Entity]\n", new: "\t\tr, ok := f.router[e.Entity]\n\t\tif ok {\n\t\t\tm.collapse.see(e)\n\t\t}\n",
		pkg: "cdc", run: "^TestCollapse$",
	},
	{
		name: "collapse-lost-on-the-second-way", rule: "a batch that is sent event by event collapses where it did before",
		file: applyFile, old: `again := routing{collapse: w.before.clone()}`, new: `again := newRouting(w.before.limit)`,
		pkg: "cdc", run: "^TestCollapseWithAMalformedName$",
	},
	{
		name: "route-key-is-the-old-row", rule: "what an update changed is known only where the whole old row comes with it",
		file: "cdc/postgres/decode.go", old: `m.OldTupleType == pglogrepl.UpdateMessageTupleTypeOld`, new: `m.OldTuple != nil`,
		pkg: "cdc/postgres", run: "^TestChanged$",
	},
}
