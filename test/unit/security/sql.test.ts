// biome-ignore-all lint/suspicious/noTemplateCurlyInString: sources are read here that are texts of the test
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { insertions } from '../../../security/sql/source.ts';
import { sourceFindings } from '../../../security/sql/static.ts';

const expressions = (source: string): string[] => insertions(source).map(({ expression }) => expression);

describe('parts of SQL that are put in when the program runs are found', () => {
  const cases: readonly [what: string, source: string, found: readonly string[]][] = [
    ['a value in a template', 'f(`select * from job where name = ${name}`);', ['name']],
    ['a value that is added', "f('select * from job where name = ' + name + ' limit 1');", ['name']],
    ['a part that only begins like SQL', 'f(`  where name = ${name}`);', ['name']],
    ['a part within brackets', 'f(`fence as materialized (\n select ${column} from x)`);', ['column']],
    ['a text made elsewhere', 'db.query(text, []);', ['text']],
    ['a text made elsewhere, in an object', 'db.query({ text: make(), values: [] });', ['make()']],
    ['a query that does not look like SQL', 'db.query(`${anything}`);', ['anything']],
    ['a value in small letters that is called a constant', 'const NAME = 1; f(`select ${name}`);', ['name']],
    ['a name in capitals that changes', 'let NAME = read(); f(`select ${NAME}`);', ['NAME']],
    ['types around it', 'f(`select ${name as string}` satisfies string);', ['name']],
    ['letters alone', "db.query('select $1::text', [name]);", []],
    ['a constant', "const COLUMNS = 'a, b'; f(`select ${COLUMNS} from job`);", []],
    ['a constant of another module', "import { COLUMNS } from './x.ts'; f(`select ${COLUMNS} from job`);", []],
    ['what pg escapes', 'f(`grant usage on schema x to ${pg.escapeIdentifier(role)}`);', []],
    ['a sentence for people', 'f(`${target} denies the right to select: use the owner where ${why}`);', []],
  ];
  for (const [what, source, found] of cases) test(what, () => assert.deepEqual(expressions(source), found));
});

const INSERTED = { file: 'x.ts', found: [{ expression: 'name', line: 3, after: 'select' }] };

test('what nobody answers for is a finding, and what somebody does is none', () => {
  assert.match(sourceFindings([INSERTED], []).join(), /^src\/store\/x\.ts:3: name becomes a part of SQL/);
  assert.deepEqual(sourceFindings([INSERTED], [{ file: 'x.ts', expressions: ['name'], why: 'a column' }]), []);
});

test('a reason of another file does not count, and one that nothing needs has to go', () => {
  const elsewhere = [{ file: 'y.ts', expressions: ['name'], why: 'a column' }];
  assert.equal(sourceFindings([INSERTED], elsewhere).length, 2);
});
