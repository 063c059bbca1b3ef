import { parseDocuments } from '../../../src/job/document.ts';

/** Reads YAML bombs and prints, as JSON, what each took. bomb.test.ts runs it as a process of its own. */

const HEAD = 'apiVersion: bulkhead.dev/v1alpha1\nkind: StreamJob\nmetadata: {name: a, namespace: ads}\n';
const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n');
/** Each line holds the line before it so many times. */
const doubling = (count: number, body: (before: string) => string): string =>
  `${HEAD}spec:\n  a0: &a0 {x: [lol]}\n${lines(count, (i) => `  a${i + 1}: &a${i + 1} ${body(`*a${i}`)}`)}\n`;

const BOMBS: Readonly<Record<string, string>> = {
  'a billion laughs': doubling(9, (before) => `[${Array(10).fill(before).join(',')}]`),
  'maps doubled 25 times': doubling(25, (before) => `{x: ${before}, y: ${before}}`),
  'merge keys doubled 25 times': doubling(25, (before) => `{<<: ${before}, y: {<<: ${before}}}`),
  'one huge text a hundred times': `${HEAD}spec: {a: &a "${'x'.repeat(900_000)}", b: [${'*a,'.repeat(99)}]}\n`,
  'a large text a hundred times': `${HEAD}spec: {a: &a "${'x'.repeat(260_000)}", b: [${'*a,'.repeat(99)}]}\n`,
  '80,000 aliases': `${HEAD}spec: {a: &a 1, b: [${'*a,'.repeat(80_000)}]}\n`,
  'a list in itself': `${HEAD}spec: &s {container: [*s, *s], <<: *s}\n`,
  'half a million open brackets': `${HEAD}spec: ${'['.repeat(500_000)}`,
  'half a million open braces': `${HEAD}spec: ${'{a: '.repeat(125_000)}`,
  'nested list signs': `${HEAD}spec:\n  ${'- '.repeat(250_000)}`,
  'eight megabytes and a byte': 'a'.repeat(8 * 1024 * 1024 + 1),
};
const RUNS = 5;

function measure(name: string, text: string) {
  let ms = Number.POSITIVE_INFINITY;
  let result = parseDocuments('', name);
  const residentBefore = process.memoryUsage.rss();
  // The best of some runs: others use this machine too, and the first one also compiles the reader.
  for (let run = 0; run < RUNS; run += 1) {
    globalThis.gc?.();
    const before = process.cpuUsage();
    result = parseDocuments(text, name);
    const { user, system } = process.cpuUsage(before);
    ms = Math.min(ms, (user + system) / 1000);
  }
  // The highest that this process has ever been, so also what bombs before this one left behind.
  const mb = (process.resourceUsage().maxRSS * 1024 - residentBefore) / 1_000_000;
  return { name, ms, mb, jobs: result.jobs.length, said: result.problems.map((p) => p.message).join('; ') };
}

process.stdout.write(JSON.stringify(Object.entries(BOMBS).map(([name, text]) => measure(name, text))));
