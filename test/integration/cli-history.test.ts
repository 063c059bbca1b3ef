import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { sql } from '../support/postgres.ts';
import { assertSentence, CommandLine, job } from './cli-process.ts';

/** Changes with their base, history, and the ways back. No cluster. */

let line: CommandLine;
const bulkhead: CommandLine['run'] = (args, surroundings) => line.run(args, surroundings);
const apply = (document: string, ...args: string[]) => bulkhead(['apply', '-f', '-', ...args], { input: document });
const image = (version: number) => `container: {image: "app:${version}"}`;

before(async () => {
  line = await CommandLine.open();
});

after(() => line.close());

describe('apply from a base', () => {
  it('refuses a change that was made from an older revision, and shows both sides', async () => {
    await apply(job('a', 'base', image(1)));
    await apply(job('a', 'base', image(2)), '--reason', 'newer');
    const late = await apply(job('a', 'base', image(3)), '--base', '1');
    assert.deepEqual([late.exitCode, late.stdout], [1, '']);
    assert.match(
      late.stderr,
      /^--- base\/a@2 \(theirs\)\n\+\+\+ base\/a \(yours\)\n[\s\S]*\n- {4}image: app:2\n\+ {4}image: app:3\n/,
    );
    assert.match(
      late.stderr,
      /\nerror: base\/a was changed since revision 1: ann stored revision 2 .* ago .*, because: newer; nothing was stored; see their change with: bulkhead diff base\/a@1 base\/a@2; .*--base 2\)\n$/,
    );
    const again = await apply(job('a', 'base', image(3)), '--base', '2');
    assert.equal(again.stdout, 'streamjob/a configured (tenant base, revision 3)\n');
  });

  it('--base 0 says that the job is new; --base speaks of one job', async () => {
    const there = await apply(job('a', 'base', image(9)), '--base', '0');
    assert.match(there.stderr, /error: base\/a exists meanwhile: ann stored revision 3/);
    assert.equal((await apply(job('b', 'base'), '--base', '0')).exitCode, 0);
    const two = await apply([job('a', 'base'), job('b', 'base')].join('---\n'), '--base', '1');
    assertSentence(two, /--base speaks of one job, and the files have 2/);
  });

  it('the same idempotency key stores once and answers the same; another body under it is refused', async () => {
    const first = await apply(job('k', 'base', image(1)), '--idempotency-key', 'deploy-1');
    await apply(job('k', 'base', image(2)));
    const again = await apply(job('k', 'base', image(1)), '--idempotency-key', 'deploy-1');
    assert.deepEqual([again.exitCode, again.stdout], [0, first.stdout], again.stderr);
    const other = await apply(job('k', 'base', image(3)), '--idempotency-key', 'deploy-1');
    assertSentence(other, /idempotency key "deploy-1" was used for other changes/);
    assert.equal((await line.database.store.find({ tenant: 'base', name: 'k' }))?.revision, 2);
  });

  it('--dry-run=server checks with the store, shows the plan, says that no cluster was looked at, and stores nothing', async () => {
    const dry = await apply(job('a', 'base', image(4)), '--dry-run=server');
    assert.equal(dry.exitCode, 0, dry.stderr);
    assert.match(
      dry.stdout,
      /^streamjob\/a configured \(server dry run\) \(tenant base, revision 4\)\n {2}A look at the cluster just now was not possible: cannot read the kubeconfig/,
    );
    assert.match(dry.stdout, /\n {2}If nothing of the cell were there:\n {4}create Namespace .*: revision 4 needs it/);
    assert.equal((await line.database.store.find({ tenant: 'base', name: 'a' }))?.revision, 3);
    const [receipt] = JSON.parse((await apply(job('new', 'base'), '--dry-run=server', '-o', 'json')).stdout);
    assert.deepEqual([receipt.outcome, receipt.dryRun, receipt.plan.kind], ['created', true, 'unknown']);
    const unchanged = await apply(job('a', 'base', image(3)), '--dry-run=server');
    assert.equal(unchanged.stdout, 'streamjob/a unchanged (server dry run) (tenant base, revision 3)\n');
  });
});

describe('history', () => {
  before(async () => {
    await apply(job('h', 'past', image(1)), '--reason', 'first');
    await apply(job('h', 'past', image(2)));
    await bulkhead(['override', 'past/h', '--set', 'workers.replicas=3', '--until', 'never', '--reason', 'load']);
    await apply(job('h', 'past', `${image(2)}, suspended: true`));
  });

  it('lists every revision with its layer and what it changed; as data with its contents', async () => {
    const { stdout } = await bulkhead(['history', 'past/h']);
    assert.match(
      stdout,
      /^REVISION +LAYER +AUTHOR +SOURCE +AGE +REASON +CHANGE\n1 +job +ann +cli +\d+s +first +created\n2 +job +ann +cli +\d+s +<none> +container\.image=app:2 \(was app:1\)\n3 +oncall +ann +oncall +\d+s +load +workers\.replicas=3 until it is cleared\n4 +job .* \+suspended=true\n$/,
    );
    const { revisions } = parse((await bulkhead(['history', 'past/h', '-o', 'yaml'])).stdout);
    assert.deepEqual(revisions[2].patch, { workers: { replicas: 3 } });
    assert.equal(JSON.parse((await bulkhead(['history', 'past/h', '-o', 'json'])).stdout).revisions.length, 4);
  });

  it('diff compares the merged layers of two revisions, or of one with now', async () => {
    const two = await bulkhead(['diff', 'past/h@1', 'past/h@3']);
    assert.equal(two.exitCode, 1);
    assert.match(
      two.stdout,
      /^--- past\/h@1\n\+\+\+ past\/h@3\n[\s\S]*\n- {4}image: app:1\n\+ {4}image: app:2\n\+ {2}workers:\n\+ {4}replicas: 3\n$/,
    );
    const now = await bulkhead(['diff', '-n', 'past', 'h@3']);
    assert.deepEqual([now.exitCode, /\n\+ {2}suspended: true\n$/.test(now.stdout)], [1, true], now.stdout);
    assert.deepEqual(await bulkhead(['diff', 'past/h@4']), { exitCode: 0, stdout: '', stderr: '' });
    assert.match(
      (await bulkhead(['diff', 'past/h@9'])).stderr,
      /past\/h has no revision 9: its newest is 4; see: bulkhead history past\/h/,
    );
  });

  it('rollback makes the own layer what it was, as a new revision; the layers above stay', async () => {
    assert.match(
      (await bulkhead(['rollback', 'past/h', '--to', '1'])).stderr,
      /required option '--reason <text>' not specified/,
    );
    const dry = await bulkhead(['rollback', 'past/h', '--to', '1', '--reason', 'try', '--dry-run=client']);
    assert.equal(dry.stdout, 'streamjob/h configured (dry run) (tenant past, revision 5)\n');
    // Revision 3 is the override's: the own layer stood at 2 then.
    const back = await bulkhead(['rollback', 'past/h', '--to', '3', '--reason', 'too slow']);
    assert.equal(back.stdout, 'streamjob/h configured (tenant past, revision 5)\n');
    assert.match(back.stderr, /^What lies above stays as it is; see: bulkhead explain past\/h\n$/);
    const goal = await line.database.store.find({ tenant: 'past', name: 'h' });
    assert.deepEqual([goal?.layers.job.source, goal?.layers.job.reason], ['rollback', 'too slow']);
    assert.deepEqual(goal?.layers.job.content, { kind: 'spec', spec: { container: { image: 'app:2' } } });
    assert.equal(goal?.layers.oncall?.revision, 3);
    const nothing = await bulkhead(['rollback', 'past/h', '--to', '2', '--reason', 'again']);
    assert.match(nothing.stderr, /^past\/h stands already as it did at revision 2\.\n/);
    assertSentence(
      await bulkhead(['rollback', 'past/h', '--to', '7', '--reason', 'x']),
      /no revision 7: its newest is 5/,
    );
  });

  it('undelete brings back what was removed last, under its old id', async () => {
    const id = (await line.database.store.find({ tenant: 'past', name: 'h' }))?.job.id;
    assertSentence(await bulkhead(['undelete', 'past/h']), /past\/h is not removed: it stands at revision 5/);
    await bulkhead(['delete', 'past/h', '--reason', 'a slip']);
    assertSentence(
      await bulkhead(['rollback', 'past/h', '--to', '1', '--reason', 'x']),
      /past\/h is removed; bring it back with: bulkhead undelete past\/h/,
    );
    assert.match((await bulkhead(['history', 'past/h'])).stdout, /\n6 +job +ann +cli +\d+s +a slip +removed\n$/);
    const back = await bulkhead(['undelete', 'past/h', '--reason', 'sorry']);
    assert.deepEqual(
      [back.exitCode, back.stdout],
      [0, 'streamjob/h restored (tenant past, revision 7)\n'],
      back.stderr,
    );
    const goal = await line.database.store.find({ tenant: 'past', name: 'h' });
    assert.deepEqual([goal?.job.id, goal?.layers.oncall?.revision], [id, 3]);
    assertSentence(
      await bulkhead(['rollback', 'past/h', '--to', '6', '--reason', 'x']),
      /revision 6 of past\/h is a removal .*bulkhead delete past\/h, .*bulkhead undelete past\/h/,
    );
  });

  it('apply of a job that was removed lately restores it, and says so', async () => {
    await bulkhead(['delete', 'past/h']);
    assertSentence(
      await bulkhead(['explain', 'past/h']),
      /past\/h is removed; bring it back with: bulkhead undelete past\/h/,
    );
    for (const mode of ['client', 'server']) {
      const dry = await apply(job('h', 'past', image(5)), `--dry-run=${mode}`);
      assert.match(dry.stdout, /^streamjob\/h restored \((server )?dry run\) \(tenant past, revision 9\)\n/);
    }
    assert.equal((await apply(job('h', 'past', image(5)))).stdout, 'streamjob/h restored (tenant past, revision 9)\n');
  });

  it('after its time a removed job cannot be brought back, but its history is there by its id', async () => {
    await apply(job('old', 'past'));
    const id = (await line.database.store.find({ tenant: 'past', name: 'old' }))?.job.id ?? '';
    await bulkhead(['delete', 'past/old']);
    await sql(line.database.adminUrl, `update bulkhead.job set removed_at = now() - interval '30 days' where id = $1`, [
      id,
    ]);
    assertSentence(
      await bulkhead(['undelete', 'past/old']),
      /past\/old cannot be brought back: no job of that name was removed within the time that names are kept/,
    );
    const anew = await apply(job('old', 'past'));
    assert.equal(anew.stdout, 'streamjob/old created (tenant past, revision 1)\n');
    assert.match((await bulkhead(['history', '--id', id])).stdout, /\n2 +job .* removed\n$/);
    assertSentence(
      await bulkhead(['history', '--id', '99999999-9999-4999-8999-999999999999']),
      /never had a job with the id/,
    );
    assertSentence(await bulkhead(['history']), /name a job, or its id with --id/);
  });
});
