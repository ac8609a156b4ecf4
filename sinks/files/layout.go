package files

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// sortingKey returns the positions of the columns by which a file is sorted,
// each -1 where the table has none: shop, customer, time, event. It is the
// tables' sorting key in ClickHouse.
func sortingKey(t *schema.Table) [4]int {
	return [4]int{
		indexOf(t, schema.String, "shop_id"),
		indexOf(t, schema.String, "buyer_id", "customer_id"),
		indexOf(t, schema.Time, "updated_at", "received_at"),
		indexOf(t, schema.UUID, "event_id"),
	}
}

// indexOf returns the position of the first of the names that the table has
// with this type and that is never null, or -1.
func indexOf(t *schema.Table, kind schema.Type, names ...string) int {
	for _, name := range names {
		if i := t.Index(name); i >= 0 && t.Columns[i].Type == kind && !t.Columns[i].Array && !t.Columns[i].Nullable {
			return i
		}
	}
	return -1
}

// A position says where a record of a batch goes: into which file, and where in
// its order.
type position struct {
	file           int // index into the plan's directories
	shop, customer string
	at             int64
	event          uuid.UUID
	record         int // index into the batch
}

// A planner sorts the records of a batch into files.
type planner struct {
	key   [4]int
	byDay bool
	// byShop is false too for a table without shops.
	byShop bool

	directories []string
	known       map[partition]int // index into directories
	positions   []position
}

// A partition is a directory's day, in days since 1970, and shop.
type partition struct {
	day  int64
	shop string
}

func newPlanner(t *schema.Table, partitionBy []string) *planner {
	key := sortingKey(t)
	return &planner{
		key:    key,
		byDay:  slices.Contains(partitionBy, partitionDay),
		byShop: slices.Contains(partitionBy, partitionShop) && key[0] >= 0,
		known:  map[partition]int{},
	}
}

func (p *planner) reset() {
	clear(p.positions) // They hold texts.
	clear(p.known)
	p.directories, p.positions = p.directories[:0], p.positions[:0]
}

// add finds the place of the next record.
func (p *planner) add(row schema.Row, r sinks.Record) {
	at := position{record: len(p.positions), at: r.Timestamp}
	if i := p.key[0]; i >= 0 {
		at.shop = row[i].Text
	}
	if i := p.key[1]; i >= 0 {
		at.customer = row[i].Text
	}
	if i := p.key[2]; i >= 0 {
		at.at = row[i].Int
	}
	if i := p.key[3]; i >= 0 {
		at.event = uuid.MustParse(emptyUUID(row[i].Text))
	}
	at.file = p.directory(&at)
	p.positions = append(p.positions, at)
}

func (p *planner) directory(at *position) int {
	var part partition
	if p.byDay {
		part.day = dayOf(at.at)
	}
	if p.byShop {
		part.shop = at.shop
	}
	if i, ok := p.known[part]; ok {
		return i
	}
	directory := ""
	if p.byDay {
		directory = "day=" + time.Unix(part.day*86400, 0).UTC().Format(time.DateOnly)
	}
	if p.byShop {
		directory = path.Join(directory, "shop="+escapeShop(part.shop))
	}
	i := len(p.directories)
	p.directories = append(p.directories, directory)
	p.known[part] = i
	return i
}

// dayOf rounds down, also before 1970.
func dayOf(milliseconds int64) int64 {
	const perDay = 24 * 60 * 60 * 1000
	day := milliseconds / perDay
	if milliseconds%perDay < 0 {
		day--
	}
	return day
}

// sort brings the records into the order in which they are written: file by
// file, each sorted by its key.
func (p *planner) sort() {
	slices.SortFunc(p.positions, func(a, b position) int {
		return cmp.Or(
			cmp.Compare(a.file, b.file),
			strings.Compare(a.shop, b.shop),
			strings.Compare(a.customer, b.customer),
			cmp.Compare(a.at, b.at),
			bytes.Compare(a.event[:], b.event[:]),
			cmp.Compare(a.record, b.record),
		)
	})
}

// emptyShop stands for an empty shop id, as Hive and Spark have it.
const emptyShop = "__HIVE_DEFAULT_PARTITION__"

// longestShop bounds an escaped shop id, for a file system takes no name over
// 255 bytes and an object store no key over 1,024.
const longestShop = 160

// escapeShop makes a directory's name of any shop id. What is not a lower-case
// letter, a digit, '-', or a '.' or '_' after the first byte is written as %XX,
// as Hive does: so no shop leads out of its directory, looks hidden, or shares
// its directory with another on a file system that ignores case. A name that is
// too long is cut, and ends in '~' and a hash of the whole id.
func escapeShop(shop string) string {
	if shop == "" {
		return emptyShop
	}
	var name strings.Builder
	for i := range len(shop) {
		c := shop[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', i > 0 && (c == '.' || c == '_'):
			name.WriteByte(c)
		default:
			fmt.Fprintf(&name, "%%%02X", c)
		}
		if name.Len() > longestShop {
			return cutShop(name.String(), shop)
		}
	}
	return name.String()
}

// cutShop never cuts an escape.
func cutShop(name, shop string) string {
	name = name[:longestShop-2]
	if i := strings.LastIndexByte(name, '%'); i > len(name)-3 {
		name = name[:i]
	}
	hash := sha256.Sum256([]byte(shop))
	return name + "~" + hex.EncodeToString(hash[:16])
}

// fileName names the batch's file in each of its directories. It is made of
// what makes the batch's token, so that a repeated batch replaces its own files
// (invariant 4), and names sort by offset.
func fileName(b *sinks.Batch, extension string) string {
	name := fmt.Sprintf("%s-%d-%012d-%012d-%d", b.Topic, b.Partition, b.First(), b.Last(), b.Records[0].Timestamp)
	if b.Mend > 0 {
		name += fmt.Sprintf("-%d-%d", b.Mend, len(b.Records))
	}
	return name + extension
}
