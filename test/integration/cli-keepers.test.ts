import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { FieldKeeper } from '../../src/job/status.ts';
import { sql } from '../support/postgres.ts';
import { assertSentence, CommandLine, job } from './cli-process.ts';

/** Jobs whose fields others keep in Kubernetes, at the command line. No cluster. */

let line: CommandLine;
const bulkhead: CommandLine['run'] = (args, surroundings) => line.run(args, surroundings);
const apply = (document: string, ...args: string[]) => bulkhead(['apply', '-f', '-', ...args], { input: document });
const clicks = (replicas: number) =>
  job('clicks', 'ads', `container: {image: "app:1"}, workers: {replicas: ${replicas}}`);
const find = () => line.database.store.find({ tenant: 'ads', name: 'clicks' });

before(async () => {
  line = await CommandLine.open();
});
after(() => line.close());

/** What an operator would have written of every job there is. */
async function keptBy(...keepers: readonly FieldKeeper[]): Promise<void> {
  await sql(
    line.database.adminUrl,
    `insert into bulkhead.observation (job_id, status)
     select id, jsonb_build_object('jobId', id, 'keepers', $1::jsonb) from bulkhead.job
     on conflict (job_id) do update set status = excluded.status`,
    [JSON.stringify(keepers)],
  );
}
const ARGO: FieldKeeper = { manager: 'argocd-controller', fields: ['workers.replicas'] };
const REFUSED =
  /^error: ads\/clicks: argocd-controller keeps workers\.replicas in Kubernetes .* nothing was stored\. .*--take-over\.$/;

it('apply is refused with the two ways out, both of which work', async () => {
  assert.equal((await apply(clicks(2))).exitCode, 0);
  await keptBy(ARGO);
  assert.match((await apply(clicks(2))).stdout, /unchanged/, 'what says nothing new is never refused');
  for (const mode of ['--dry-run=server', '--dry-run=none']) {
    const refused = await apply(clicks(5), mode);
    assert.equal(refused.exitCode, 1);
    assertSentence({ ...refused, stderr: refused.stderr.trimEnd() }, REFUSED);
  }
  assert.equal((await find())?.revision, 1);

  const { stderr } = await apply(clicks(5));
  const [, words] = /bulkhead (override .*) --reason '…'/.exec(stderr) ?? [];
  assert.equal(words, 'override ads/clicks --set workers.replicas=5 --until 2h');
  const pasted = await bulkhead([...(words ?? '').split(' '), '--reason', 'load']);
  assert.equal(pasted.exitCode, 0, pasted.stderr);

  const dry = await apply(clicks(5), '--take-over', '--dry-run=server');
  assert.deepEqual([dry.exitCode, (await find())?.revision], [0, 2], dry.stderr);
  const taken = await apply(clicks(5), '--take-over');
  assert.equal(taken.stdout, 'streamjob/clicks configured (tenant ads, revision 3)\n', taken.stderr);
});

it('rollback, delete and undelete are refused, and take over when they are told to', async () => {
  const rollback = ['rollback', 'ads/clicks', '--to', '1', '--reason', 'back'];
  assert.match((await bulkhead(rollback)).stderr.trimEnd(), REFUSED);
  assert.equal((await bulkhead([...rollback, '--take-over'])).exitCode, 0);
  const refused = await bulkhead(['delete', 'ads/clicks']);
  assert.equal(refused.exitCode, 1);
  assert.match(
    refused.stderr,
    /kubectl -n ads delete streamjob clicks; or remove the job all the same with --take-over/,
  );
  assert.match((await bulkhead(['delete', 'ads/clicks', '--take-over'])).stdout, /deleted/);
  const undelete = await bulkhead(['undelete', 'ads/clicks']);
  assert.equal(undelete.exitCode, 1);
  assert.match(undelete.stderr, /or bring the job back all the same with --take-over/);
  assert.match((await bulkhead(['undelete', 'ads/clicks', '--take-over'])).stdout, /restored/);
  const { stdout } = await bulkhead(['history', 'ads/clicks']);
  const sources = stdout
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((row) => row.split(/ {3,}/)[3]);
  assert.deepEqual(sources, [
    'cli',
    'oncall',
    'cli, take-over',
    'rollback, take-over',
    'cli, take-over',
    'rollback, take-over',
  ]);
});

it('explain says who keeps what', async () => {
  const { stdout } = await bulkhead(['explain', 'ads/clicks']);
  assert.match(stdout, /\nKept by others:\n {2}spec\.workers\.replicas is kept by argocd-controller in Kubernetes\n$/);
  assert.deepEqual(JSON.parse((await bulkhead(['explain', 'ads/clicks', '-o', 'json'])).stdout).keepers, [ARGO]);
});

it('many files are refused with every job that is kept, and none of them is stored', async () => {
  const names = Array.from({ length: 1_000 }, (_, n) => `job-${n}`);
  const documents = (image: string) =>
    names.map((name) => job(name, 'many', `container: {image: "${image}"}`)).join('---\n');
  assert.equal((await apply(documents('app:1'))).exitCode, 0);
  await keptBy({ manager: 'flux', fields: ['container.image'] });
  const { exitCode, stdout, stderr } = await apply(documents('app:2'));
  const lines = stderr.trimEnd().split('\n');
  assert.deepEqual([exitCode, stdout, lines.length], [1, '', 1_002]);
  assert.match(lines[0] ?? '', /^error: Of 1000 jobs others keep fields in Kubernetes .*nothing was stored:$/);
  assert.ok(names.every((name, n) => lines[n + 1] === `  many/${name}: flux keeps container.image`));
  assert.match(lines.at(-1) ?? '', /bulkhead override TENANT\/NAME --set FIELD=VALUE .*--take-over\.$/);
});
