//! Decodes a record's value to the values of the contract's fields, if it is valid and plain.
//!
//! What this module accepts is valid by the contract, and has the same values in the reference. What it does not accept
//! need not be invalid: the reference decides.

use crate::calendar::{read_date, read_date_time};
use crate::json::Cursor;
use crate::tables::{FieldTable, MemberTable, ObjectTable};

/// Values of a category up to this number are compared one by one.
const COMPARED_ONE_BY_ONE_MAX: usize = 8;

/// The decoder of one contract.
pub struct Decoder {
    objects: Vec<Object>,
    fields: Vec<Field>,
    /// The value of each field if it is absent.
    absent: Vec<f64>,
    id_field: usize,
    members: usize,
}

struct Object {
    members: Vec<Member>,
    /// The members' names in order, with their positions.
    by_name: Vec<(Box<[u8]>, usize)>,
    /// The number of its first member among those of all objects.
    first_member: usize,
    fields: std::ops::Range<usize>,
}

struct Member {
    name: Box<[u8]>,
    /// The name as JSON has it, with the colon after it; None if it cannot be written without escapes.
    key: Option<Box<[u8]>>,
    required: bool,
    nullable: bool,
    kind: MemberKind,
}

#[derive(Clone, Copy)]
enum MemberKind {
    Field(usize),
    Object(usize),
}

enum Field {
    Number { low: f64, high: f64, unknown: Vec<f64>, is_integer: bool },
    Boolean,
    Category(Categories),
    Text { min: usize, max: usize },
    Date,
    DateTime,
}

/// The values of a category with their codes, in the order of their bytes.
struct Categories(Vec<(Box<[u8]>, f64)>);

impl Categories {
    fn code_of(&self, value: &[u8]) -> Option<f64> {
        if self.0.len() <= COMPARED_ONE_BY_ONE_MAX {
            return self.0.iter().find(|(other, _)| **other == *value).map(|(_, code)| *code);
        }
        let position = self.0.binary_search_by(|(other, _)| (**other).cmp(value)).ok()?;
        Some(self.0[position].1)
    }
}

/// The values of a record, and what is needed to read the next one; it is used again for each.
pub struct Reading {
    /// The value of each field: a number, a category's code, or days. NaN, or code -1, is unknown.
    pub values: Vec<f64>,
    /// The bytes of the application's id within the value: a JSON string's content without escapes.
    pub id: std::ops::Range<usize>,
    /// For each member the number of the record in which it was last seen.
    seen: Vec<u64>,
    record: u64,
}

impl Decoder {
    /// Checks the tables.
    pub fn new(objects: &[ObjectTable], fields: &[FieldTable], id_field: usize) -> Result<Self, String> {
        let mut first_member = 0;
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
            let mut by_name: Vec<_> = members.iter().enumerate().map(|(i, m)| (m.name.clone(), i)).collect();
            by_name.sort();
            let count = members.len();
            checked.push(Object { members, by_name, first_member, fields: table.first_field..table.end_field });
            first_member += count;
        }
        let parsed: Vec<Field> = fields.iter().map(field).collect::<Result<_, _>>()?;
        if checked.is_empty() || !matches!(parsed.get(id_field), Some(Field::Text { .. })) {
            return Err("the contract has no id".into());
        }
        let absent = fields.iter().map(|table| table.absent).collect();
        Ok(Self { objects: checked, fields: parsed, absent, id_field, members: first_member })
    }

    /// The number of fields.
    pub fn width(&self) -> usize {
        self.fields.len()
    }

    /// The number of codes of a category, including that of an absent value; None if the field is not one.
    pub fn codes(&self, field: usize) -> Option<usize> {
        match self.fields.get(field)? {
            Field::Category(categories) => {
                let codes = categories.0.iter().map(|(_, code)| *code);
                codes.chain([self.absent[field]]).map(|code| (code + 1.0) as usize).max()
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
        Reading { values: self.absent.clone(), id: 0..0, seen: vec![0; self.members], record: 0 }
    }

    /// Reads a value; None leaves it to the reference.
    pub fn read(&self, value: &[u8], reading: &mut Reading) -> Option<()> {
        std::str::from_utf8(value).ok()?;
        let mut cursor = Cursor::new(value);
        reading.record += 1;
        reading.id = 0..0;
        cursor.skip_space();
        self.object(0, &mut cursor, reading)?;
        cursor.skip_space();
        (cursor.position() == value.len() && !reading.id.is_empty()).then_some(())
    }

    fn object(&self, number: usize, cursor: &mut Cursor, reading: &mut Reading) -> Option<()> {
        let object = &self.objects[number];
        cursor.require(b'{')?;
        cursor.skip_space();
        let mut expected = 0;
        let mut count = 0;
        if !cursor.take(b'}') {
            loop {
                match object.name(cursor, expected)? {
                    Some(position) => {
                        let seen = &mut reading.seen[object.first_member + position];
                        if *seen == reading.record {
                            return None;
                        }
                        *seen = reading.record;
                        count += 1;
                        expected = position + 1;
                        self.member(&object.members[position], cursor, reading)?;
                    }
                    None => cursor.skip_value(1)?,
                }
                cursor.skip_space();
                if cursor.take(b'}') {
                    break;
                }
                cursor.require(b',')?;
                cursor.skip_space();
            }
        }
        if count == object.members.len() { Some(()) } else { self.fill_absent(object, reading) }
    }

    /// Sets the values of members that were not seen; None if one of them is required.
    #[cold]
    fn fill_absent(&self, object: &Object, reading: &mut Reading) -> Option<()> {
        for (position, member) in object.members.iter().enumerate() {
            if reading.seen[object.first_member + position] != reading.record {
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

    fn member(&self, member: &Member, cursor: &mut Cursor, reading: &mut Reading) -> Option<()> {
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
            MemberKind::Object(number) => self.object(number, cursor, reading),
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
    #[inline]
    fn name(&self, cursor: &mut Cursor, expected: usize) -> Option<Option<usize>> {
        if let Some(key) = self.members.get(expected).and_then(|member| member.key.as_ref())
            && cursor.require_text(key).is_some()
        {
            cursor.skip_space();
            return Some(Some(expected));
        }
        let name = cursor.plain_string()?;
        cursor.colon()?;
        let found = self.by_name.binary_search_by(|(other, _)| (**other).cmp(name));
        Some(found.ok().map(|place| self.by_name[place].1))
    }
}

impl Field {
    /// Null as a value.
    fn unknown(&self) -> f64 {
        if matches!(self, Self::Category(_)) { -1.0 } else { f64::NAN }
    }

    /// Reads a value; a text's is NaN.
    #[inline]
    fn read(&self, cursor: &mut Cursor) -> Option<f64> {
        match self {
            Self::Number { low, high, unknown, is_integer } => {
                let number = cursor.number()?;
                if !unknown.is_empty() && unknown.contains(&number) {
                    return Some(f64::NAN);
                }
                let is_valid = number >= *low && number <= *high && (!is_integer || number == number.floor());
                is_valid.then_some(number)
            }
            Self::Boolean => {
                if cursor.peek()? == b't' {
                    cursor.require_text(b"true").map(|()| 1.0)
                } else {
                    cursor.require_text(b"false").map(|()| 0.0)
                }
            }
            Self::Category(categories) => categories.code_of(cursor.plain_string()?),
            Self::Text { min, max } => {
                // Characters: bytes that do not continue one.
                let length = cursor.plain_string()?.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
                (*min..=*max).contains(&length).then_some(f64::NAN)
            }
            Self::Date => read_date(cursor.plain_string()?),
            Self::DateTime => read_date_time(cursor.plain_string()?),
        }
    }
}

fn member(table: &MemberTable, parent: usize, objects: usize, fields: usize) -> Result<Member, String> {
    let kind = match (table.field, table.object) {
        (Some(field), None) if field < fields => MemberKind::Field(field),
        // An object comes after the one that contains it, so that reading ends.
        (None, Some(object)) if parent < object && object < objects => MemberKind::Object(object),
        _ => return Err("a member is neither a field nor an object that exists".into()),
    };
    let name = table.name.clone().into_boxed_slice();
    let is_plain = !name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    let key = is_plain.then(|| [b"\"", &name[..], b"\":"].concat().into_boxed_slice());
    Ok(Member { name, key, required: table.required, nullable: table.nullable, kind })
}

fn field(table: &FieldTable) -> Result<Field, String> {
    Ok(match table.kind.as_str() {
        kind @ ("number" | "integer") => {
            let unknown = table.unknown.clone();
            Field::Number { low: table.low, high: table.high, unknown, is_integer: kind == "integer" }
        }
        "boolean" => Field::Boolean,
        "category" => {
            let mut categories: Vec<_> = table
                .categories
                .iter()
                .map(|(value, code)| (value.clone().into_boxed_slice(), f64::from(*code)))
                .collect();
            categories.sort_by(|(first, _), (second, _)| first.cmp(second));
            Field::Category(Categories(categories))
        }
        "text" => Field::Text { min: table.length_min, max: table.length_max },
        "date" => Field::Date,
        "date-time" => Field::DateTime,
        other => return Err(format!("{other} is not a kind of field")),
    })
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
    fn many_categories_are_found_too() {
        let values: Vec<_> = (0..1_000).map(|code| (format!("v{code}").into_bytes(), code)).collect();
        let table = FieldTable { kind: "category".into(), categories: values.clone(), ..FieldTable::default() };
        let Ok(Field::Category(categories)) = field(&table) else { panic!("a category") };
        assert!(values.iter().all(|(value, code)| categories.code_of(value) == Some(f64::from(*code))));
        assert_eq!(categories.code_of(b"v1000"), None);
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
