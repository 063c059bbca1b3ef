import assert from 'node:assert/strict';
import { test } from 'node:test';
import { age, fields, indent, rowsOf, table, toYamlText } from '../../../src/cli/output.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The values of kubectl's own test of HumanDuration. */
const AGES: readonly (readonly [durationMs: number, text: string])[] = [
  [-5 * SECOND, '0s'],
  [0, '0s'],
  [SECOND, '1s'],
  [70 * SECOND, '70s'],
  [119 * SECOND, '119s'],
  [2 * MINUTE, '2m'],
  [190 * SECOND, '3m10s'],
  [70 * MINUTE, '70m'],
  [47 * HOUR, '47h'],
  [49 * HOUR, '2d1h'],
  [3 * HOUR + 10 * MINUTE, '3h10m'],
  [8 * DAY + 2 * HOUR, '8d'],
  [400 * DAY, '400d'],
  [2 * 365 * DAY, '2y'],
  [2 * 365 * DAY + 25 * HOUR, '2y1d'],
  [9 * 365 * DAY, '9y'],
];

for (const [durationMs, text] of AGES) {
  test(`an age of ${durationMs / SECOND} s reads ${text}, as kubectl writes it`, () => {
    assert.equal(age(10 ** 12, 10 ** 12 + durationMs), text);
  });
}

test('a table has a word in every cell and no blanks at its ends, so that awk and cut can read it', () => {
  assert.equal(
    table(
      ['A', 'LONG'],
      [
        ['xyz', ''],
        ['', 'b'],
      ],
    ),
    'A        LONG\nxyz      <none>\n<none>   b\n',
  );
});

test('a cell cannot break its line or colour the terminal', () => {
  assert.equal(table(['A'], [['x\ny\u001b[31m']]), 'A\nx\\u000ay\\u001b[31m\n');
});

test('fields stand in one column', () => {
  assert.equal(
    fields([
      ['Name', 'a'],
      ['Job id', 'b'],
    ]),
    'Name:    a\nJob id:  b\n',
  );
});

test('indenting leaves empty lines empty', () => {
  assert.equal(indent('a\n\nb\n'), '  a\n\n  b\n');
});

test('YAML is safe for readers of YAML 1.1, such as kubectl', () => {
  assert.equal(toYamlText({ on: 'yes', time: '12:30:00' }), '"on": "yes"\ntime: "12:30:00"\n');
});

test('rows that are picked from a table stay in its columns, without the header', () => {
  const text = table(
    ['A', 'B'],
    [
      ['long word', '1'],
      ['x', '2'],
    ],
  );
  assert.equal(
    rowsOf(text, (row) => row === 1),
    'x           2\n',
  );
  assert.equal(
    rowsOf(text, () => false),
    '',
  );
});
