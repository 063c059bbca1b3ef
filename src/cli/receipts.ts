import { type JobName, jobName } from '../job/ids.ts';
import type { GoalReceipt } from '../ports/store.ts';
import { toJsonText } from './output.ts';

/** What was stored of a change, as kubectl words it. */

const WORDS: Readonly<Record<GoalReceipt['outcome'], string>> = {
  created: 'created',
  configured: 'configured',
  unchanged: 'unchanged',
  removed: 'deleted',
  absent: 'not found',
  restored: 'restored',
};

/** `none`: it was really done; the others only say what would be, the server's after having tried it. */
export type DryRun = 'client' | 'server' | 'none';

const MARKS: Readonly<Record<DryRun, string>> = { client: ' (dry run)', server: ' (server dry run)', none: '' };

/** `streamjob/clicks created (tenant ads, revision 1)` */
export function receiptLine({ job, revision, outcome }: GoalReceipt, dryRun: DryRun): string {
  const detail = [`tenant ${job.tenant}`, ...(revision === null ? [] : [`revision ${revision}`])].join(', ');
  return `streamjob/${job.name} ${WORDS[outcome]}${MARKS[dryRun]} (${detail})\n`;
}

export const receiptObject = (receipt: GoalReceipt, dryRun: DryRun): Record<string, unknown> => ({
  ...receipt,
  dryRun: dryRun !== 'none',
});

export function receiptText(receipts: readonly GoalReceipt[], format: string | undefined, dryRun: DryRun): string {
  if (format === 'name') return receipts.map(({ job }) => `${jobName(job)}\n`).join('');
  if (format === 'json') return toJsonText(receipts.map((receipt) => receiptObject(receipt, dryRun)));
  return receipts.map((receipt) => receiptLine(receipt, dryRun)).join('');
}

/** `1 job`, `3 jobs`. */
export const countOf = (jobs: readonly unknown[]): string => `${jobs.length} ${jobs.length === 1 ? 'job' : 'jobs'}`;

/** Up to ten names, for a question. */
export function namesText(jobs: readonly JobName[]): string {
  const shown = jobs.slice(0, 10).map(jobName).join(', ');
  return jobs.length > 10 ? `${shown} and ${jobs.length - 10} more` : shown;
}
