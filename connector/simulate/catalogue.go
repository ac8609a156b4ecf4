package simulate

// scene is a reason for which a ledger changes.
type scene struct {
	name string
	// weight is how often it happens, relative to the others of its list.
	weight int
	// least and most bound the value of one update.
	least, most int64
}

// registration is the scene of every customer's first points.
const registration = "SUCCESSFUL_REGISTRATION"

// successfulOrders is the scene that also raises what a customer has spent.
const successfulOrders = "SUCCESSFUL_ORDERS"

// catalogue is what the generator draws from. It is made per generator, so that
// the package has no state.
type catalogue struct {
	earning, burning     []scene // points
	crediting, debiting  []scene // store credits, in cents
	topics               []ledgerTopic
	locales              []locale
	notes, tags, genders []string
	collectors           []string // where a consent comes from
}

// locale is where a customer lives, and what people are called there.
type locale struct {
	country, countryCode, province, provinceCode, city, street, zip string
	phone                                                           string
	language, currency                                              string
	// minorUnits is false for a currency without decimals.
	minorUnits  bool
	first, last []string
}

// ledgerTopic holds the names by which a ledger's document calls its fields.
// Points have no code.
type ledgerTopic struct {
	topic, value, balance, code, scene, sceneValue string
}

func newCatalogue() *catalogue {
	return &catalogue{
		// The scenes of the points document, each on the side it belongs to.
		// SUCCESSFUL_REGISTRATION is not drawn: it is every customer's first.
		earning: []scene{
			{"LOGIN_SUCCESS", 6, 1, 5},
			{"CUSTOMERS_BIRTHDAY", 3, 50, 500},
			{successfulOrders, 30, 5, 5000},
			{"EMAIL_SUBSCRIPTION", 3, 20, 50},
			{"ENTER_PHONE", 3, 20, 50},
			{"ENTER_BIRTHDAY", 3, 20, 50},
			{"SHARE_FB", 3, 5, 20},
			{"FOLLOW_FB", 3, 5, 20},
			{"FOLLOW_INS", 3, 5, 20},
			{"DAILY_ATTENDANCE", 15, 1, 10},
			{"PRODUCT_REVIEWS", 6, 10, 100},
			{"TOP_REVIEWS", 3, 50, 200},
			{"LEVEL_MEM_BENEFITS", 4, 50, 1000},
			{"PAID_MEM_BENEFITS", 3, 100, 2000},
			{"SUCCESSFUL_REFERRAL", 4, 100, 300},
			{"MANUALLY_INCREASE", 3, 1, 10000},
			{"CUSTOMER_IMPORT_INCREASE", 3, 1, 100000},
		},
		burning: []scene{
			{"CASHBACK", 8, 100, 5000},
			{"REDEEM_COUPON_CODE", 6, 100, 2000},
			{"REDEEM_COUPON", 8, 100, 2000},
			{"REDEEM_FREE_SHIPPING", 6, 50, 500},
			{"REDEEM_PRODUCTS", 5, 200, 10000},
			{"MANUALLY_DECREASE", 3, 1, 1000},
			{"CUSTOMER_IMPORT_DECREASE", 3, 1, 1000},
			{"POS_DECREASE", 5, 10, 3000},
		},
		crediting: []scene{
			{"refund", 10, 100, 25_000},
			{"transfer", 4, 100, 50_000},
			{"reward", 6, 50, 2_000},
			{"compensation", 4, 100, 5_000},
			{"other", 3, 1, 10_000},
		},
		debiting: []scene{
			{"transfer", 3, 100, 50_000},
			{"other", 5, 1, 30_000},
		},
		topics: []ledgerTopic{
			{TopicPoints, "updated_value", "points_balance", "", "updated_scene", successfulOrders},
			{TopicStoreCredits, "update_value", "current_balance", "store_credits_code", "store_credits_update_reason", "refund"},
			{TopicGiftCards, "update_value", "current_balance", "gift_card_code", "scene_type", "SELF_PURCHASE"},
		},
		locales: []locale{
			{
				"United States", "US", "Kentucky", "KY", "Hagerman", "7720 Cherokee Road", "40202",
				"0015025550100", "en", "USD", true,
				[]string{"Bob", "Mary-Jane", "O'Neil", "Dwayne \"The Rock\""},
				[]string{"James", "van der Berg", "Smith"},
			},
			{
				"Chile", "CL", "Región Metropolitana", "RM", "Ñuñoa", "Av. Irarrázaval 2401", "7750000",
				"0056225550100", "es", "CLP", false,
				[]string{"José", "Begoña", "Martín"},
				[]string{"Muñoz", "Núñez", "O’Higgins"},
			},
			{
				"China", "CN", "广东省", "GD", "深圳市", "南山区科技园路1号", "518000",
				"008613978653472", "zh-hans-cn", "CNY", true,
				[]string{"伟", "秀英", "𠮷"},
				[]string{"张", "欧阳", "李"},
			},
			{
				"Taiwan", "TW", "臺北市", "TPE", "信義區", "市府路45號", "110",
				"00886225550100", "zh-hant-tw", "TWD", true,
				[]string{"淑芬", "志明"},
				[]string{"陳", "林"},
			},
			{
				"Japan", "JP", "東京都", "JP-13", "渋谷区", "道玄坂1-2-3", "150-0043",
				"0081355550100", "ja", "JPY", false,
				[]string{"さくら", "陽翔🌸"},
				[]string{"佐藤", "髙橋"},
			},
			{
				"France", "FR", "Île-de-France", "IDF", "Paris", "12 rue de l'Abbé Grégoire", "75006",
				"0033155501000", "fr", "EUR", true,
				[]string{"Zoë", "François", "Anaïs"},
				[]string{"Lefèvre", "D’Œuvre"},
			},
			{
				"Brazil", "BR", "São Paulo", "SP", "São Paulo", "Rua Conceição, 9 \\ fundos", "01001-000",
				"005511955501000", "pt", "BRL", true,
				[]string{"João", "Conceição ❤️", "👩‍👩‍👧"},
				[]string{"Araújo", "da Silva"},
			},
		},
		notes:   []string{"test", "prefers \"gift\" wrapping", "calls back\nafter 18:00", "VIP 👑", "C:\\imported"},
		tags:    []string{"good", "vip,newsletter", "大客户, wholesale", "a,b,c"},
		genders: []string{"male", "female", "others", "secret"},

		collectors: []string{"checkout", "registration", "footer", "popup", "pos"},
	}
}

// addressID is the prefix of every address id; 19 digits follow it.
const addressID = "SL201UA"
