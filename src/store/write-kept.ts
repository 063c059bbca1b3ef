import type { JobContent, Source } from '../job/goal.ts';
import { type JobId, type JobName, jobName } from '../job/ids.ts';
import { changedFields, keptAmong, overlap } from '../job/keepers.ts';
import { printable } from '../job/problem.ts';
import type { JobSpec } from '../job/spec.ts';
import type { FieldKeeper } from '../job/status.ts';
import { KeptElsewhereError } from '../ports/store.ts';
import type { StoredJob } from './goals.ts';
import type { StoredStep } from './write-decide.ts';

/** Changes of fields that others keep in Kubernetes: refused, with the ways out. Pure. */

/** Ways in of which those who keep a StreamJob's fields hear nothing; with kubectl they had their say. */
const UNHEARD: ReadonlySet<Source> = new Set<Source>(['cli', 'api', 'rollback']);

/** At most, of the fields of one keeper and of the words for --set. */
const FIELDS_SHOWN = 10;
const MAX_VALUE = 80;

interface Refused {
  readonly job: JobName;
  readonly outcome: StoredStep['receipt']['outcome'];
  readonly keepers: readonly FieldKeeper[];
  /** What sets the fields in an on-call layer instead. */
  readonly words: string;
}

/** A value as a shell and `override --set` take it; null where that is not simple. */
function simpleWord(value: unknown): string | null {
  if (value === undefined) return 'null';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'string' || value === 'null' || value.length > MAX_VALUE) return null;
  if (/^[\w@%+=:,./-]+$/.test(value)) return value;
  return /^[^"'\p{C}][^'\p{C}]*$/u.test(value) ? `'${value}'` : null;
}

const valueAt = (spec: JobSpec, path: string): unknown =>
  path.split('.').reduce<unknown>((value, field) => (value as Record<string, unknown> | undefined)?.[field], spec);

function setWords(spec: JobSpec, fields: readonly string[]): string {
  const words = fields.map((field) => ({ field, word: simpleWord(valueAt(spec, field)) }));
  const shown = words
    .slice(0, FIELDS_SHOWN)
    .flatMap(({ field, word }) => (word === null ? [] : [`--set ${field}=${word}`]));
  return [...shown, ...(shown.length < words.length ? ['--set …'] : [])].join(' ');
}

/** What is refused of one change; null where nothing is. */
function refusedOf(step: StoredStep, before: JobContent | undefined, keepers: readonly FieldKeeper[]): Refused | null {
  const { content, job } = step.change;
  const { outcome } = step.receipt;
  if (content.kind === 'tombstone') return keepers.length > 0 ? { job, outcome, keepers, words: '' } : null;
  if (content.kind !== 'spec') return null;
  const fields = changedFields(before?.kind === 'spec' ? before.spec : null, content.spec);
  const touched = keptAmong(keepers, fields);
  if (touched.length === 0) return null;
  const kept = fields.filter((field) => touched.some((it) => it.fields.some((one) => overlap(one, field))));
  return { job, outcome, keepers: touched, words: setWords(content.spec, kept.sort()) };
}

const fieldsText = (fields: readonly string[]): string => {
  const shown = fields.slice(0, FIELDS_SHOWN).join(', ');
  return fields.length > FIELDS_SHOWN ? `${shown} and ${fields.length - FIELDS_SHOWN} more` : shown;
};

const keptText = ({ job, keepers }: Refused): string =>
  `${jobName(job)}: ${keepers.map(({ manager, fields }) => `${printable(manager)} keeps ${fieldsText(fields)}`).join('; ')}`;

/** What to do instead. @param name of the job, or what stands for it */
function waysOut(outcome: Refused['outcome'], { tenant, name }: JobName, words: string): string {
  if (outcome === 'removed') {
    return (
      `Delete the object where it is kept, or with: kubectl -n ${tenant} delete streamjob ${name}; ` +
      'or remove the job all the same with --take-over.'
    );
  }
  if (outcome === 'restored') {
    return 'Have those who keep it apply it again, or bring the job back all the same with --take-over.';
  }
  return (
    `Say it above them with: bulkhead override ${tenant}/${name} ${words} --until 2h --reason '…' ` +
    '(layer oncall, which is never written to the object), or write over what they keep with --take-over.'
  );
}

const WHY = 'in Kubernetes and would not hear of this; nothing was stored';

function refusal(refused: readonly Refused[], first: Refused): KeptElsewhereError {
  const text = (message: string) => new KeptElsewhereError(message, first.job, first.keepers);
  if (refused.length === 1) return text(`${keptText(first)} ${WHY}. ${waysOut(first.outcome, first.job, first.words)}`);
  const outcomes = new Set(refused.map(({ outcome }) => outcome));
  const ways = [...outcomes].map((outcome) =>
    waysOut(outcome, { tenant: 'TENANT', name: 'NAME' }, '--set FIELD=VALUE'),
  );
  const lines = refused.map((it) => `  ${keptText(it)}`);
  return text([`Of ${refused.length} jobs others keep fields ${WHY}:`, ...lines, ...ways].join('\n'));
}

/**
 * @param byName jobs as they stand
 * @param keepers of those that have any
 * @throws KeptElsewhereError which names all changes that are about what others keep, unless they take over
 */
export function refuseKept(
  steps: readonly StoredStep[],
  source: Source,
  byName: ReadonlyMap<string, StoredJob>,
  keepers: ReadonlyMap<JobId, readonly FieldKeeper[]>,
): void {
  if (!UNHEARD.has(source) || keepers.size === 0) return;
  const refused = steps.flatMap((step) => {
    const own = keepers.get(step.receipt.id);
    if (own === undefined || step.layer !== 'job' || step.change.takeOver) return [];
    return refusedOf(step, byName.get(jobName(step.change.job))?.newest.job.content, own) ?? [];
  });
  const [first] = refused;
  if (first !== undefined) throw refusal(refused, first);
}
