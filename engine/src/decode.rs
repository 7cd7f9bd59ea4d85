//! Decodes a record's value to the values of the contract's fields, if it is valid and plain.
//!
//! What this module accepts is valid by the contract, and has the same values in the reference. What it does not accept
//! need not be invalid: the reference decides.

use crate::fields::Field;
use crate::json::Cursor;
use crate::keys::Key;
use crate::tables::{FieldTable, MemberTable, ObjectTable};
use crate::texts::Texts;

/// The decoder of one contract.
pub struct Decoder {
    objects: Vec<Object>,
    fields: Vec<Field>,
    /// The value of each field if it is absent.
    absent: Vec<f64>,
    id_field: usize,
    /// The number of states that a reading has.
    states: usize,
}

struct Object {
    members: Vec<Member>,
    /// The members' positions by their names.
    by_name: Texts<usize>,
    /// Its first state among those of all objects: it has one for its start, and one for each member.
    first_state: usize,
    fields: std::ops::Range<usize>,
}

struct Member {
    /// None if the name cannot be written without escapes.
    key: Option<Key>,
    required: bool,
    nullable: bool,
    kind: MemberKind,
}

#[derive(Clone, Copy)]
enum MemberKind {
    Field(usize),
    Object(usize),
}

/// The values of a record, and what is needed to read the next one; it is used again for each.
pub struct Reading {
    /// The value of each field: a number, a category's code, or days. NaN, or code -1, is unknown.
    pub values: Vec<f64>,
    /// The bytes of the application's id within the value: a JSON string's content without escapes.
    pub id: std::ops::Range<usize>,
    /// For each object that of its start, and those of its members.
    states: Vec<State>,
    record: u64,
}

/// What is known of a member, or of the start of an object.
struct State {
    /// The number of the record in which the member was last seen.
    seen: u64,
    /// The member that came next, when there was one; at first the contract's next one. It is expected here again.
    next: usize,
}

impl Decoder {
    /// Checks the tables.
    pub fn new(objects: &[ObjectTable], fields: &[FieldTable], id_field: usize) -> Result<Self, String> {
        let mut states = 0;
        let mut checked = Vec::with_capacity(objects.len());
        for (number, table) in objects.iter().enumerate() {
            let members: Vec<Member> = table
                .members
                .iter()
                .map(|m| member(m, number, objects.len(), fields.len()))
                .collect::<Result<_, _>>()?;
            if table.first_field > table.end_field || table.end_field > fields.len() {
                return Err("an object has fields that do not exist".into());
            }
            let by_name = Texts::new(table.members.iter().enumerate().map(|(i, m)| (&m.name[..], i)));
            let count = members.len();
            checked.push(Object { members, by_name, first_state: states, fields: table.first_field..table.end_field });
            states += 1 + count;
        }
        let parsed: Vec<Field> = fields.iter().map(Field::new).collect::<Result<_, _>>()?;
        if checked.is_empty() || !matches!(parsed.get(id_field), Some(Field::Text { .. })) {
            return Err("the contract has no id".into());
        }
        let absent = fields.iter().map(|table| table.absent).collect();
        Ok(Self { objects: checked, fields: parsed, absent, id_field, states })
    }

    /// The number of fields.
    pub fn width(&self) -> usize {
        self.fields.len()
    }

    /// The number of codes of a category, including that of an absent value; None if the field is not one.
    pub fn codes(&self, field: usize) -> Option<usize> {
        match self.fields.get(field)? {
            Field::Category(categories) => {
                categories.values().chain([self.absent[field]]).map(|code| (code + 1.0) as usize).max()
            }
            _ => None,
        }
    }

    /// Whether a field has numbers, booleans or dates.
    pub fn is_number(&self, field: usize) -> bool {
        !matches!(self.fields.get(field), None | Some(Field::Category(_) | Field::Text { .. }))
    }

    /// What is needed to read values.
    pub fn reading(&self) -> Reading {
        let mut states = Vec::with_capacity(self.states);
        for object in &self.objects {
            states.extend((0..=object.members.len()).map(|next| State { seen: 0, next }));
        }
        Reading { values: self.absent.clone(), id: 0..0, states, record: 0 }
    }

    /// Reads a value; None leaves it to the reference.
    pub fn read(&self, value: &[u8], reading: &mut Reading) -> Option<()> {
        std::str::from_utf8(value).ok()?;
        let mut cursor = Cursor::new(value);
        reading.record += 1;
        reading.id = 0..0;
        cursor.skip_space();
        let end = self.object(0, (value, cursor.position()), reading)?;
        let mut cursor = Cursor::at(value, end);
        cursor.skip_space();
        (cursor.position() == value.len() && !reading.id.is_empty()).then_some(())
    }

    /// Reads the object at a position; returns its end. Positions are values, so that they stay in registers.
    fn object(&self, number: usize, (value, at): (&[u8], usize), reading: &mut Reading) -> Option<usize> {
        let mut cursor = Cursor::at(value, at);
        let object = &self.objects[number];
        cursor.require(b'{')?;
        cursor.skip_space();
        let mut last = object.first_state;
        let mut count = 0;
        if !cursor.take(b'}') {
            loop {
                match object.name(&mut cursor, reading.states[last].next)? {
                    Some(position) => {
                        reading.states[last].next = position;
                        last = object.first_state + 1 + position;
                        let seen = &mut reading.states[last].seen;
                        if *seen == reading.record {
                            return None;
                        }
                        *seen = reading.record;
                        count += 1;
                        self.member(&object.members[position], value, &mut cursor, reading)?;
                    }
                    None => cursor.skip_value()?,
                }
                if !cursor.take(b',') {
                    cursor.skip_space();
                    if cursor.take(b'}') {
                        break;
                    }
                    cursor.require(b',')?;
                }
                cursor.skip_space();
            }
        }
        if count != object.members.len() {
            self.fill_absent(object, reading)?;
        }
        Some(cursor.position())
    }

    /// Sets the values of members that were not seen; None if one of them is required.
    #[cold]
    fn fill_absent(&self, object: &Object, reading: &mut Reading) -> Option<()> {
        for (position, member) in object.members.iter().enumerate() {
            if reading.states[object.first_state + 1 + position].seen != reading.record {
                if member.required {
                    return None;
                }
                match member.kind {
                    MemberKind::Field(field) => reading.values[field] = self.absent[field],
                    MemberKind::Object(number) => self.fill_object(number, reading),
                }
            }
        }
        Some(())
    }

    /// Sets the values of an object that is absent or null.
    fn fill_object(&self, number: usize, reading: &mut Reading) {
        let fields = self.objects[number].fields.clone();
        reading.values[fields.clone()].copy_from_slice(&self.absent[fields]);
    }

    /// Reads a member's value. Like `name` it is inlined, so that the position stays in a register.
    #[inline(always)]
    fn member(&self, member: &Member, value: &[u8], cursor: &mut Cursor, reading: &mut Reading) -> Option<()> {
        if cursor.peek() == Some(b'n') {
            cursor.require_text(b"null")?;
            match member.kind {
                _ if !member.nullable => return None,
                MemberKind::Field(field) => reading.values[field] = self.fields[field].unknown(),
                MemberKind::Object(number) => self.fill_object(number, reading),
            }
            return Some(());
        }
        match member.kind {
            MemberKind::Object(number) => {
                cursor.advance_to(self.object(number, (value, cursor.position()), reading)?);
                Some(())
            }
            MemberKind::Field(field) => {
                let start = cursor.position() + 1;
                reading.values[field] = self.fields[field].read(cursor)?;
                if field == self.id_field {
                    reading.id = start..cursor.position() - 1;
                }
                Some(())
            }
        }
    }
}

impl Object {
    /// Takes a name and its colon: the position of the member, if the contract has it. The expected one is tried first.
    #[inline(always)]
    fn name(&self, cursor: &mut Cursor, expected: usize) -> Option<Option<usize>> {
        if let Some(key) = self.members.get(expected).and_then(|member| member.key.as_ref())
            && key.take(cursor)
        {
            cursor.skip_space();
            return Some(Some(expected));
        }
        let (position, rest) = self.any_name(*cursor)?;
        *cursor = rest;
        Some(position)
    }

    #[inline(never)]
    fn any_name<'a>(&self, mut cursor: Cursor<'a>) -> Option<(Option<usize>, Cursor<'a>)> {
        let name = cursor.plain_string()?;
        cursor.colon()?;
        Some((self.by_name.find(name), cursor))
    }
}

fn member(table: &MemberTable, parent: usize, objects: usize, fields: usize) -> Result<Member, String> {
    let kind = match (table.field, table.object) {
        (Some(field), None) if field < fields => MemberKind::Field(field),
        // An object comes after the one that contains it, so that reading ends.
        (None, Some(object)) if parent < object && object < objects => MemberKind::Object(object),
        _ => return Err("a member is neither a field nor an object that exists".into()),
    };
    Ok(Member { key: Key::new(&table.name), required: table.required, nullable: table.nullable, kind })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn member(name: &str, required: bool, nullable: bool, field: usize) -> MemberTable {
        MemberTable { name: name.into(), required, nullable, field: Some(field), object: None }
    }

    /// `id`, `income` (0 to 100, -9 is unknown, 5 if absent), `home`, `since` and `job.ok`; `home` to `job` are optional.
    pub(crate) fn tables() -> (Vec<ObjectTable>, Vec<FieldTable>) {
        let job = MemberTable { name: "job".into(), nullable: true, object: Some(1), ..MemberTable::default() };
        let members = vec![
            member("id", true, false, 0),
            member("income", true, true, 1),
            member("home", false, true, 2),
            member("since", false, false, 3),
            job,
        ];
        let objects = vec![
            ObjectTable { members, first_field: 0, end_field: 5 },
            ObjectTable { members: vec![member("ok", true, false, 4)], first_field: 4, end_field: 5 },
        ];
        let field = |kind: &str, absent: f64| FieldTable { kind: kind.into(), absent, ..FieldTable::default() };
        let fields = vec![
            FieldTable { length_min: 1, length_max: 4, ..field("text", f64::NAN) },
            FieldTable { low: 0.0, high: 100.0, unknown: vec![-9.0], ..field("integer", 5.0) },
            FieldTable {
                categories: vec![("rent".into(), 0), ("unk".into(), -1), ("né".into(), 1)],
                ..field("category", -1.0)
            },
            field("date", 7.0),
            field("boolean", f64::NAN),
        ];
        (objects, fields)
    }

    pub(crate) fn decoder() -> Decoder {
        let (objects, fields) = tables();
        Decoder::new(&objects, &fields, 0).unwrap()
    }

    /// The values and the id; None if the value is left to the reference.
    fn read(value: &str) -> Option<(Vec<f64>, String)> {
        let decoder = decoder();
        let mut reading = decoder.reading();
        decoder.read(value.as_bytes(), &mut reading)?;
        Some((reading.values, value[reading.id].to_string()))
    }

    fn is_same(values: &[f64], expected: &[f64]) -> bool {
        values.iter().zip(expected).all(|(value, other)| value == other || value.is_nan() && other.is_nan())
    }

    #[test]
    fn values_are_read_in_any_order_and_among_other_properties() {
        let unknown = f64::NAN;
        for (value, expected) in [
            (
                r#"{"id":"é-1","income":3,"home":"rent","since":"1970-01-03","job":{"ok":true}}"#,
                [unknown, 3.0, 0.0, 2.0, 1.0],
            ),
            (
                r#" { "job" : { "x":[{}], "ok" : false } , "income":1e2,"id":"é-1", "x":{"id":1} } "#,
                [unknown, 100.0, -1.0, 7.0, 0.0],
            ),
            (r#"{"income":null,"home":null,"job":null,"id":"é-1"}"#, [unknown, unknown, -1.0, 7.0, unknown]),
            (r#"{"income":-9,"home":"unk","id":"é-1","home2":1}"#, [unknown, unknown, -1.0, 7.0, unknown]),
        ] {
            let (values, id) = read(value).expect(value);
            assert!(is_same(&values, &expected), "{value}: {values:?}");
            assert_eq!(id, "é-1");
        }
    }

    #[test]
    fn values_of_one_record_do_not_reach_the_next() {
        let decoder = decoder();
        let mut reading = decoder.reading();
        decoder
            .read(br#"{"id":"a","income":1,"home":"rent","since":"2024-01-01","job":{"ok":true}}"#, &mut reading)
            .unwrap();
        assert!(decoder.read(br#"{"id":"b","home":"rent","#, &mut reading).is_none());
        decoder.read(br#"{"id":"c","income":2}"#, &mut reading).unwrap();
        assert!(is_same(&reading.values, &[f64::NAN, 2.0, -1.0, 7.0, f64::NAN]));
    }

    #[test]
    fn what_may_be_invalid_is_left() {
        for value in [
            "",
            "{}",
            "null",
            "[]",
            r#"{"id":"a"}"#,
            r#"{"id":"a","income":1"#,
            r#"{"id":"a","income":1}}"#,
            r#"{"id":"a","income":1,}"#,
            r#"{"id":"","income":1}"#,
            r#"{"id":"abcde","income":1}"#,
            r#"{"id":null,"income":1}"#,
            r#"{"id":"a","income":101}"#,
            r#"{"id":"a","income":1.5}"#,
            r#"{"id":"a","income":"1"}"#,
            r#"{"id":"a","income":true}"#,
            r#"{"id":"a","income":1,"income":1}"#,
            r#"{"id":"a","income":1,"home":"RENT"}"#,
            r#"{"id":"a","income":1,"home":5}"#,
            r#"{"id":"a","income":1,"since":null}"#,
            r#"{"id":"a","income":1,"since":"2023-02-29"}"#,
            r#"{"id":"a","income":1,"job":{}}"#,
            r#"{"id":"a","income":1,"job":[]}"#,
            r#"{"id":"a","income":1,"job":{"ok":1}}"#,
            r#"{"id":"a","income":1,"x":tru}"#,
            r#"{"id":"a","income":1,"\u0069d":"b"}"#,
            r#"{"id":"\u0061","income":1}"#,
            "\u{feff}{\"id\":\"a\",\"income\":1}",
        ] {
            assert!(read(value).is_none(), "{value}");
        }
        let decoder = decoder();
        assert!(decoder.read(b"{\"id\":\"\xff\",\"income\":1}", &mut decoder.reading()).is_none());
    }

    #[test]
    fn any_order_of_the_members_is_read_whatever_the_order_before() {
        let decoder = decoder();
        let mut reading = decoder.reading();
        let members = [r#""id":"a""#, r#""income":1"#, r#""home":"rent""#, r#""x":[1]"#, r#""job":{"ok":true}"#];
        let all = [0, 1, 2, 3, 4];
        for first in all {
            for second in all.into_iter().filter(|other| *other != first) {
                let mut order = vec![first, second];
                order.extend(all.into_iter().filter(|other| ![first, second].contains(other)));
                for space in ["", " "] {
                    let separator = format!("{space},{space}");
                    let colon = format!("{space}:{space}");
                    let texts: Vec<_> = order.iter().map(|member| members[*member].replace(':', &colon)).collect();
                    let value = format!("{{{space}{}{space}}}", texts.join(&separator));
                    decoder.read(value.as_bytes(), &mut reading).expect(&value);
                    assert!(is_same(&reading.values, &[f64::NAN, 1.0, 0.0, 7.0, 1.0]), "{value}");
                    let without = [&texts[..1], &texts[2..]].concat().join(&separator);
                    let is_read = decoder.read(format!("{{{without}}}").as_bytes(), &mut reading).is_some();
                    assert_eq!(is_read, second > 1, "{without}");
                    let twice = format!("{{{},{}}}", texts.join(&separator), texts[1]);
                    assert_eq!(decoder.read(twice.as_bytes(), &mut reading).is_some(), second == 3, "{twice}");
                }
            }
        }
    }

    #[test]
    fn the_code_of_an_absent_value_is_one_of_a_categorys_codes() {
        let (objects, mut fields) = tables();
        fields[2].absent = 4.0;
        let decoder = Decoder::new(&objects, &fields, 0).unwrap();
        assert_eq!([decoder.codes(1), decoder.codes(2)], [None, Some(5)]);
    }

    #[test]
    fn tables_that_do_not_fit_are_errors() {
        let (mut objects, fields) = tables();
        assert!(Decoder::new(&objects, &fields, 1).is_err());
        assert!(Decoder::new(&objects, &fields[..3], 0).is_err());
        assert!(Decoder::new(&[], &fields, 0).is_err());
        objects[1].members[0] = MemberTable { name: "loop".into(), object: Some(1), ..MemberTable::default() };
        assert!(Decoder::new(&objects, &fields, 0).is_err());
    }
}
