package main

const deleteFile = "tier/keys_delete.go"

// keysMutations are the rules of deleting keys by pattern, and of finding them.
var keysMutations = []mutation{
	{
		name: "keys-space-not-flushed", rule: "a deletion that covers a space flushes it by its name, whatever L2 has of it",
		file: deleteFile, old: `d.flush(ctx, c.spaceNames())`, new: `d.flush(ctx, nil)`,
		pkg: "tier", run: "^TestDeleteReachesOtherPodsWhereL2HasNothing$",
	},
	{
		name: "keys-strange-space-not-flushed", rule: "a deletion flushes a covered space that this pod has not opened before it evicts the space's keys",
		file: deleteFile, old: `d.flush(ctx, spaces)`, new: `d.flush(ctx, nil)`,
		pkg: "tier", run: "^TestDeleteReachesSpacesNotOpenedHere$",
	},
	{
		name: "keys-load-under-way-left", rule: "a deletion outdates the keys that are being loaded",
		file: deleteFile,
		old:  "\tif err := d.invalidateEach(ctx, names); err != nil {\n\t\treturn 0, err\n\t}\n\treturn len(values)",
		new:  "\tif len(values) == 0 {\n\t\treturn 0, nil\n\t}\n\tif err := d.invalidateEach(ctx, names); err != nil {\n\t\treturn 0, err\n\t}\n\treturn len(values)",
		pkg:  "tier", run: "^TestDeleteOutdatesLoadsUnderWay$",
	},
	{
		name: "keys-l1-left", rule: "a deletion outdates what only this pod's L1 has",
		file: deleteFile, old: `return n, d.removeLocal(ctx)`, new: `return n, nil`,
		pkg: "tier", run: "^TestDeleteByNarrowPattern$",
	},
	{
		name: "scan-server-not-compared", rule: "a scan that another server has answered in part is an error",
		file: "remote/scan.go", old: `err = m.unchanged(ctx)`, new: `err = nil`,
		pkg: "remote", run: "^TestScannerNoticesAnotherServer$",
	},
	{
		name: "scan-error-skips-a-page", rule: "a scan goes on with the page that failed",
		file: "remote/scan.go",
		old:  "\tif err != nil {\n\t\treturn nil, false, fmt.Errorf(\"remote: scan: %w\", err)\n\t}\n\tsc.cursor = cursor\n",
		new:  "\tsc.cursor = cursor\n\tif err != nil {\n\t\treturn nil, false, fmt.Errorf(\"remote: scan: %w\", err)\n\t}\n",
		pkg:  "remote", run: "^TestScannerGoesOnWhereACallFailed$",
	},
}
