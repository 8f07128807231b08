package salesforce_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc/salesforce"
)

// account has the fields of the documented example, in their order.
var account = func() (fields []salesforce.Field) {
	for name := range strings.FieldsSeq(`ChangeEventHeader Name Type ParentId BillingAddress ShippingAddress Phone Fax AccountNumber
		Website Sic Industry AnnualRevenue NumberOfEmployees Ownership TickerSymbol Description Rating Site OwnerId CreatedDate
		CreatedById LastModifiedDate`) {
		f := salesforce.Field{Name: name}
		if strings.HasSuffix(name, "Address") {
			f.Parts = []string{"Street", "City", "State"}
		}
		fields = append(fields, f)
	}
	return fields
}()

func TestChangedFields(t *testing.T) {
	tests := []struct {
		name  string
		masks []string
		want  []string
	}{
		{"none", nil, nil},
		{"the documented vector", []string{"0x400800"}, []string{"Industry", "LastModifiedDate"}},
		{"the lowest field", []string{"0x2"}, []string{"Name"}},
		{"zeros in front", []string{"0x" + strings.Repeat("0", 100) + "2"}, []string{"Name"}},
		{"lower and upper case", []string{"0x0004Fe"}, []string{
			"Name", "Type", "ParentId", "BillingAddress", "ShippingAddress", "Phone", "Fax", "Sic",
		}},
		{"a part", []string{"4-0x2"}, []string{"BillingAddress.City"}},
		{"two parts", []string{"4-0x05"}, []string{"BillingAddress.Street", "BillingAddress.State"}},
		{"all parts are the field", []string{"5-0x7"}, []string{"ShippingAddress"}},
		{"both kinds", []string{"0x400000", "4-0x2", "5-0x7"}, []string{"LastModifiedDate", "BillingAddress.City", "ShippingAddress"}},
		{"no bit", []string{"0x0"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := salesforce.ChangedFields(account, tt.masks)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("changed fields (-want +got):\n%s; error %v", diff, err)
			}
		})
	}
}

// A list that can't be understood in full must not pass for one that is.
func TestChangedFieldsUnknown(t *testing.T) {
	for name, masks := range map[string][]string{
		"beyond the last field":        {"0x800000"},
		"the header":                   {"0x1"},
		"no digits":                    {"0x"},
		"no hexadecimal":               {"0x4008g0"},
		"a sign":                       {"0x+2"},
		"a name":                       {"Industry"},
		"empty":                        {""},
		"a bitmap of all fields later": {"4-0x1", "0x2"},
		"a parent that isn't compound": {"1-0x1"},
		"a parent that isn't there":    {"23-0x1"},
		"a negative parent":            {"-1-0x1"},
		"beyond the last part":         {"4-0x8"},
		"no digits of parts":           {"4-0x"},
		"more names than any schema":   slices.Repeat([]string{"4-0x5"}, 5_001),
		"a bitmap after a good one":    {"0x2", "4-0xz"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := salesforce.ChangedFields(account, masks); err == nil {
				t.Errorf("changedFields(%q) = %q; want an error", masks, got)
			}
		})
	}
}

func FuzzBitmap(f *testing.F) {
	for _, seed := range []string{"0x400800", "4-0x2", "0x400800,4-0x05,5-0x7", "0x,", "99999999999-0xff", "4-0x7,4-0x7"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, masks string) {
		got, err := salesforce.ChangedFields(account, strings.Split(masks, ","))
		if err != nil {
			return
		}
		for _, name := range got {
			parent, part, compound := strings.Cut(name, ".")
			i := slices.IndexFunc(account, func(f salesforce.Field) bool { return f.Name == parent })
			if i < 1 || compound && !slices.Contains(account[i].Parts, part) {
				t.Fatalf("changedFields(%q) has %q, which isn't a field", masks, name)
			}
		}
	})
}
