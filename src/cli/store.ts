import type { Command } from 'commander';
import { SHARD_COUNT, type Shard, shard } from '../job/ids.ts';
import type { FenceConfirmer } from '../ports/store.ts';
import { describeTarget } from '../store/errors.ts';
import { readMigrations } from '../store/migrate.ts';
import { requireYes } from './confirm.ts';
import { action, type Context, origin } from './context.ts';
import { type GlobalOptions, mandatoryReasonOption, outputOption, yesOption } from './options.ts';
import { print, say, toJsonText, toYamlText } from './output.ts';
import { readStoreFacts, type StoreFacts } from './store-facts.ts';
import {
  behindOf,
  CONFIRM_QUESTION,
  confirmText,
  type FenceMap,
  looksBehind,
  storeObject,
  storeText,
} from './store-text.ts';

interface StatusOptions extends GlobalOptions {
  readonly output?: 'json' | 'yaml';
}

interface ConfirmOptions extends GlobalOptions {
  readonly reason: string;
  readonly yes?: true;
}

async function status(context: Context, { output }: StatusOptions): Promise<void> {
  const [store, { url }] = await Promise.all([context.store(), context.database()]);
  const [facts, replicas, cluster, migrations] = await Promise.all([
    readStoreFacts(url),
    store.replicas(),
    store.currentCluster(),
    readMigrations(),
  ]);
  const knownSchema = migrations.at(-1)?.version ?? 0;
  const report = { storeId: store.storeId, target: describeTarget(url), facts, knownSchema, replicas, cluster };
  if (output === 'json') return print(toJsonText(storeObject(report)));
  if (output === 'yaml') return print(toYamlText(storeObject(report)));
  await print(storeText(report, Date.now()));
}

const ALL_SHARDS: readonly Shard[] = Array.from({ length: SHARD_COUNT }, (_, id) => shard(id));

/** The shards that look behind, and whose fence a person has confirmed. */
async function followedOf(store: FenceConfirmer, facts: StoreFacts, fence: FenceMap): Promise<ReadonlySet<Shard>> {
  const followed = new Set<Shard>();
  for (const [shard, found] of fence) {
    if (looksBehind(facts, shard, found) && (await store.followsFence(shard, found))) followed.add(shard);
  }
  return followed;
}

async function confirmStore(context: Context, options: ConfirmOptions): Promise<void> {
  const [store, { url }] = await Promise.all([context.store(), context.database()]);
  // Not only in the cluster that the store knows of: a restored one may know of an older one.
  const [fence, identity, facts] = await Promise.all([context.fence(), context.identify(), readStoreFacts(url)]);
  const behind = behindOf(facts, fence, await followedOf(store, facts, fence), await store.behindShards(ALL_SHARDS));
  if (behind.size === 0) {
    const where = `the fence of context ${identity.contextName}`;
    return say(
      fence.size === 0
        ? `Nothing to confirm: ${where} says nothing about this store.`
        : `Nothing to confirm: this store is not behind ${where}.`,
    );
  }
  say(confirmText({ target: describeTarget(url), facts }, identity, fence, behind).trimEnd());
  await requireYes(CONFIRM_QUESTION, options);
  await store.confirmFence({ fences: behind }, origin(options));
  await print(
    `store confirmed: ${behind.size} ${behind.size === 1 ? 'shard goes' : 'shards go'} on from the fence of context ${identity.contextName}\n`,
  );
  say('Running operators claim their shards anew within seconds; what is missing in the cluster is made again.');
}

export function addStoreCommand(program: Command): void {
  const store = program.command('store').description('The goal store itself: what it is, who acts for it');
  store
    .command('status')
    .description('Show which database it is, its schema, and the replicas with their shards')
    .addOption(outputOption('json', 'yaml'))
    .action(action<StatusOptions>(status));
  store
    .command('confirm')
    .description('Let a store that was restored or promoted act on its cluster again, though the fence there is ahead')
    .addOption(mandatoryReasonOption())
    .addOption(yesOption())
    .action(action<ConfirmOptions>(confirmStore));
}
