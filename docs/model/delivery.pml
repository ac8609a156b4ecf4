/*
 * How one partition of a Kafka topic gets into ClickHouse exactly once: a model
 * for Spin of what docs/exactly-once.md describes. README.md beside this file
 * says what is modelled, and check.sh runs every check.
 *
 * Each step of a member is atomic, for each is one request to Kafka or to
 * ClickHouse, or a decision of its own. Everything else may happen between two
 * steps, and any time may pass: a member that rests between two of them while
 * the group goes on is the process that wakes up late.
 *
 * Switches, set with -D:
 *
 *   ROWS, MAX_ROWS           records in the log, at most 5, and in the largest
 *                            range, at most 3
 *   CRASHES, REBALANCES      how many there may be
 *   S1=0 ... S4=0            leave this property out
 *   LOST                     how many answers may be lost, where that is bounded
 *   LIVENESS                 adds the claim that everything is committed at last
 *
 *   VANISHES                 the cause of the refusals is removed at some moment
 *   SETTLED                  not while a write that is overdue can still arrive
 *   APPEARS                  the cause of the refusals comes at some moment
 *   STRAY_COMMITS            a commit may arrive after its sender gave it up
 *   REJOIN                   who gave a commit up leaves the generation
 *   WINDOW_TOO_SMALL         ClickHouse may forget tokens at any moment
 *   STORED_YET_REFUSED       ClickHouse may refuse a range that it has stored
 *
 *   NO_INTENT, NO_FENCE, COMMIT_FIRST, HALVES_UNDER_OLD_INTENT, NO_TOKEN,
 *   RESUME_UNFENCED          mistakes, which Spin must find
 */

#ifndef ROWS
#define ROWS 4
#endif
#ifndef MAX_ROWS
#define MAX_ROWS 3
#endif
#ifndef CRASHES
#define CRASHES 3
#endif
#ifndef REBALANCES
#define REBALANCES 2
#endif
#define MEMBERS 2

/* The properties; see README.md. */
#ifndef S1
#define S1 1
#endif
#ifndef S2
#define S2 1
#endif
#ifndef S3
#define S3 1
#endif
#ifndef S4
#define S4 1
#endif

/* A set of records is a bit mask; a range is its first record and its length. */
#define BEFORE(offset)     ((1 << (offset)) - 1)
#define RANGE(first, rows) (BEFORE(rows) << (first))
#define TOKEN(first, rows) (1 << ((first) * MAX_ROWS + (rows) - 1))

mtype = {
	idle,     /* owns nothing, knows nothing */
	join,     /* was given the partition, is about to read offset and metadata */
	choose,   /* is about to commit an intent of 1 to rows rows */
	announce, /* is about to commit the intent of exactly its rows */
	write,    /* is about to send the INSERT */
	bury,     /* is about to publish the dead letter */
	finish    /* is about to commit the offset behind the range */
};

typedef Member {
	mtype step = idle;
	bool current; /* its generation is the group's */
	byte first;   /* the range that it works on */
	byte rows;
#ifdef HALVES_UNDER_OLD_INTENT
	byte rest; /* rows of the announced range behind this half */
#endif
}
Member member[MEMBERS];

/* Kafka: what is committed for the group. An intent begins at the offset. */
byte offset;
byte intent; /* its rows, 0 for none */
byte dead;   /* the records that have a dead letter */

/* ClickHouse. */
byte poison;       /* the records that it refuses while there is cause to */
bool cause = true; /* there is */
byte stored;
short tokens;

/* An INSERT whose sender has given it up, and that may still arrive. */
byte lateFirst;
byte lateRows; /* 0 for none */

#ifdef STRAY_COMMITS
/* A commit of the present generation that its sender has given up. */
bool stray;
byte strayOffset;
byte strayIntent;
#endif

/* What may still go wrong. */
byte crashes = CRASHES;
byte rebalances = REBALANCES;
#ifdef LOST
byte lost = LOST;
#define MAY_LOSE lost > 0
#define LOSE lost--
#else
#define MAY_LOSE true
#define LOSE skip
#endif

#define SOME_MEMBER_IS_CURRENT (member[0].current || member[1].current)
#define OVERDUE(m) (member[m].step == write && !member[m].current)
#ifdef SETTLED
#define MAY_VANISH (lateRows == 0 && !OVERDUE(0) && !OVERDUE(1))
#else
#define MAY_VANISH true
#endif

#ifdef NO_FENCE
#define FENCED(m) false
#else
#define FENCED(m) (!member[m].current)
#endif

/* Whoever takes an intent over commits it again, as its own. */
#ifdef RESUME_UNFENCED
#define RESUME write
#else
#define RESUME announce
#endif
#ifdef COMMIT_FIRST
#define AFTER_INTENT finish
#else
#define AFTER_INTENT write
#endif

/* Kafka takes a commit, and every commit is judged: nothing below it is
 * missing (S4), clean records are stored (S1), poisonous ones have a dead
 * letter (S2), unless they are stored because the cause came or went. That no
 * record is stored twice (S3) is judged where they are stored. */
inline take(to, pending) {
	assert(!S4 || to >= offset);
	assert(!S4 || (BEFORE(to) & ~(stored | dead)) == 0);
	assert(!S1 || (BEFORE(to) & ~poison & ~stored) == 0);
	assert(!S1 || (dead & ~poison) == 0);
#if !defined(VANISHES) && !defined(APPEARS) && !defined(STORED_YET_REFUSED)
	assert(!S2 || (BEFORE(to) & poison & ~dead) == 0);
	assert(!S2 || (stored & poison) == 0);
#endif
	offset = to;
	intent = pending
}

/* ClickHouse executes an INSERT. It looks at the rows before it looks at the
 * token, and stores all of them or none. */
inline insert(from, count, refused) {
	refused = false;
	if
	:: cause && (RANGE(from, count) & poison) ->
		refused = true;
		printf("    ClickHouse refuses %d..%d\n", from, from + count - 1)
#ifndef NO_TOKEN
	:: !(cause && (RANGE(from, count) & poison)) && (tokens & TOKEN(from, count)) ->
		printf("    ClickHouse knows %d..%d already\n", from, from + count - 1)
	:: !(cause && (RANGE(from, count) & poison)) && !(tokens & TOKEN(from, count)) ->
#else
	:: else ->
#endif
		printf("    ClickHouse stores %d..%d\n", from, from + count - 1);
		assert(!S3 || (stored & RANGE(from, count)) == 0);
		stored = stored | RANGE(from, count);
		tokens = tokens | TOKEN(from, count)
	fi
}

/* A member's memory is gone. Whether it is current is for the caller to say. */
inline forget(m) {
	member[m].step = idle;
	member[m].first = 0;
	member[m].rows = 0
#ifdef HALVES_UNDER_OLD_INTENT
	;
	member[m].rest = 0
#endif
}

/* A member goes on at its first record, with a range of any length. */
inline goOn(m) {
	if
	:: member[m].first == ROWS -> forget(m)
	:: member[m].first < ROWS ->
		if
		:: member[m].first + MAX_ROWS <= ROWS -> member[m].rows = MAX_ROWS
		:: member[m].first + MAX_ROWS > ROWS -> member[m].rows = ROWS - member[m].first
		fi;
		member[m].step = choose
	fi
}

/* A member commits the intent of its range. */
inline declare(m) {
#ifdef NO_INTENT
	member[m].step = write
#else
	if
	:: FENCED(m) ->
		printf("member %d is fenced\n", m);
		forget(m)
	:: !FENCED(m) ->
		printf("member %d commits the intent %d..%d\n", m, member[m].first, member[m].first + member[m].rows - 1);
		take(member[m].first, member[m].rows);
		member[m].step = AFTER_INTENT
	fi
#endif
}

/* A member is told that its range is refused. Of more than one row, a shorter
 * one is announced in its place, and the rest becomes ordinary records again. */
inline turnedDown(m) {
	if
	:: member[m].rows == 1 -> member[m].step = bury
	:: member[m].rows > 1 ->
#ifdef HALVES_UNDER_OLD_INTENT
		member[m].rest = member[m].rest + member[m].rows - member[m].rows / 2;
		member[m].rows = member[m].rows / 2;
		member[m].step = write
#else
		member[m].rows--;
		member[m].step = choose
#endif
	fi
}

/* The range is stored, or its only row is buried. */
inline proceed(m) {
#ifdef HALVES_UNDER_OLD_INTENT
	if
	:: member[m].rest > 0 ->
		member[m].first = member[m].first + member[m].rows;
		member[m].rows = member[m].rest;
		member[m].rest = 0;
		member[m].step = write
	:: else -> member[m].step = finish
	fi
#elif defined(COMMIT_FIRST)
	member[m].first = member[m].first + member[m].rows;
	goOn(m)
#else
	member[m].step = finish
#endif
}

#ifdef STRAY_COMMITS
/* A member gives a commit up that is still on its way. */
inline giveUp(m, to, pending) {
	stray = true;
	strayOffset = to;
	strayIntent = pending;
	printf("member %d gives up a commit of offset %d, intent %d rows\n", m, to, pending)
#ifdef REJOIN
	;
	member[m].current = false;
	forget(m)
#endif
}
#endif

proctype Process(byte m) {
	bool refused;

end:	do
	:: member[m].step == idle && offset == ROWS -> break

	/* It may be fenced before it even reads; it does not know. */
	:: d_step { member[m].step == join ->
		printf("member %d reads offset %d, intent %d rows\n", m, offset, intent);
		member[m].first = offset;
		if
		:: intent > 0 -> member[m].rows = intent; member[m].step = RESUME
		:: intent == 0 -> goOn(m)
		fi
	   }

	:: d_step { member[m].step == announce -> declare(m) }
	:: d_step { member[m].step == choose && member[m].rows >= 1 -> member[m].rows = 1; declare(m) }
	:: d_step { member[m].step == choose && member[m].rows >= 2 -> member[m].rows = 2; declare(m) }
	:: d_step { member[m].step == choose && member[m].rows >= 3 -> member[m].rows = 3; declare(m) }

	/* The answer comes. */
	:: d_step { member[m].step == write ->
		printf("member %d writes %d..%d\n", m, member[m].first, member[m].first + member[m].rows - 1);
		insert(member[m].first, member[m].rows, refused);
		if
		:: refused -> turnedDown(m)
		:: !refused -> proceed(m)
		fi;
		refused = false
	   }
#ifdef STORED_YET_REFUSED
	:: d_step { member[m].step == write ->
		printf("member %d writes %d..%d and is told that they are refused\n", m, member[m].first, member[m].first + member[m].rows - 1);
		insert(member[m].first, member[m].rows, refused);
		turnedDown(m);
		refused = false
	   }
#endif
	/* The answer is lost, and it will write the same once more. */
	:: d_step { member[m].step == write && MAY_LOSE ->
		LOSE;
		printf("member %d writes %d..%d and gets no answer\n", m, member[m].first, member[m].first + member[m].rows - 1);
		insert(member[m].first, member[m].rows, refused);
		refused = false
	   }
	/* The same, but the INSERT is still on its way. */
	:: d_step { member[m].step == write && lateRows == 0 && MAY_LOSE ->
		LOSE;
		printf("member %d gives up a write of %d..%d that is on its way\n", m, member[m].first, member[m].first + member[m].rows - 1);
		lateFirst = member[m].first;
		lateRows = member[m].rows
	   }

	/* Until it is told that the dead letter is held, it publishes it again. */
	:: d_step { member[m].step == bury ->
		printf("member %d publishes a dead letter of %d\n", m, member[m].first);
		dead = dead | RANGE(member[m].first, 1);
		proceed(m)
	   }
	:: d_step { member[m].step == bury && MAY_LOSE ->
		LOSE;
		printf("member %d publishes a dead letter of %d and gets no answer\n", m, member[m].first);
		dead = dead | RANGE(member[m].first, 1)
	   }

	:: d_step { member[m].step == finish ->
		if
		:: FENCED(m) ->
			printf("member %d is fenced\n", m);
			forget(m)
		:: !FENCED(m) ->
			printf("member %d commits offset %d\n", m, member[m].first + member[m].rows);
			take(member[m].first + member[m].rows, 0);
#ifdef COMMIT_FIRST
			member[m].step = write
#else
			member[m].first = member[m].first + member[m].rows;
			member[m].rows = 0;
			goOn(m)
#endif
		fi
	   }

#ifdef STRAY_COMMITS
	:: d_step { member[m].step == announce && member[m].current && !stray ->
		giveUp(m, member[m].first, member[m].rows)
	   }
	:: d_step { member[m].step == finish && member[m].current && !stray ->
		giveUp(m, member[m].first + member[m].rows, 0)
	   }
#endif
	od
}

/* The group gets another generation, and m the partition. What m was doing in
 * the one before has ended; the other member does not know yet. */
inline assign(m) {
	member[0].current = false;
	member[1].current = false;
#ifdef STRAY_COMMITS
	stray = false; /* Kafka will refuse it. */
	strayOffset = 0;
	strayIntent = 0;
#endif
	forget(m);
	member[m].current = true;
	member[m].step = join;
	printf("a generation begins, member %d has the partition\n", m)
}

inline die(m) {
	printf("member %d dies\n", m);
	forget(m);
	member[m].current = false
}

/* Whatever else happens. */
proctype World() {
	bool refused;

end:	do
	:: offset == ROWS && lateRows == 0 -> break

	/* A rebalance at any moment, and one when the owner is gone. */
	:: d_step { rebalances > 0 && offset < ROWS && SOME_MEMBER_IS_CURRENT -> rebalances--; assign(0) }
	:: d_step { rebalances > 0 && offset < ROWS && SOME_MEMBER_IS_CURRENT -> rebalances--; assign(1) }
	:: d_step { offset < ROWS && !SOME_MEMBER_IS_CURRENT -> assign(0) }
	:: d_step { offset < ROWS && !SOME_MEMBER_IS_CURRENT -> assign(1) }

	/* The owner dies. Of another, it makes no difference whether it is dead or
	 * never wakes up. */
	:: d_step { crashes > 0 && member[0].current && offset < ROWS -> crashes--; die(0) }
	:: d_step { crashes > 0 && member[1].current && offset < ROWS -> crashes--; die(1) }

	:: d_step { lateRows > 0 ->
		printf("a write of %d..%d arrives late\n", lateFirst, lateFirst + lateRows - 1);
		insert(lateFirst, lateRows, refused);
		refused = false;
		lateFirst = 0;
		lateRows = 0
	   }
	:: d_step { lateRows > 0 -> /* It never arrives. */
		lateFirst = 0;
		lateRows = 0
	   }

#ifdef VANISHES
	:: d_step { cause && poison && MAY_VANISH -> cause = false; printf("the cause of the refusals is removed\n") }
#endif
#ifdef APPEARS
	:: d_step { !cause && poison -> cause = true; printf("a cause for refusals comes\n") }
#endif
#ifdef WINDOW_TOO_SMALL
	:: d_step { tokens != 0 -> tokens = 0; printf("ClickHouse forgets the tokens\n") }
#endif
#ifdef STRAY_COMMITS
	:: d_step { stray ->
		printf("a commit of offset %d, intent %d rows arrives late\n", strayOffset, strayIntent);
		take(strayOffset, strayIntent);
		stray = false;
		strayOffset = 0;
		strayIntent = 0
	   }
#endif
	od
}

init {
	byte i;
	atomic {
		do
		:: i < ROWS -> poison = poison | (1 << i); i++
		:: i < ROWS -> i++
		:: i == ROWS -> break
		od;
		i = 0;
#ifdef APPEARS
		cause = false;
#endif
		printf("the sink refuses the records of the set %d\n", poison);
		assign(0);
		run Process(0);
		run Process(1);
		run World()
	}
}

#ifdef LIVENESS
ltl committed { <> (offset == ROWS) }
#endif
