import type { Scenario } from '../scenario.ts';
import { clocks } from './clocks.ts';
import { crashAtCommit } from './crash-at-commit.ts';
import { emptiedStore } from './emptied-store.ts';
import { halfOpenListen } from './half-open-listen.ts';
import { handoffCrash, handoffGraceful } from './handoffs.ts';
import { lockWait } from './lock-wait.ts';
import { massDelete } from './mass-delete.ts';
import { notifyQueueFull } from './notify-queue-full.ts';
import { olderCopy } from './older-copy.ts';
import { poolExhausted } from './pool-exhausted.ts';
import { pooler } from './pooler.ts';
import { postgresDown } from './postgres-down.ts';
import { postgresRestart } from './postgres-restart.ts';
import { promotion } from './promotion.ts';
import { shardsEven } from './shards-even.ts';
import { staleView } from './stale-view.ts';
import { stoppedOwner } from './stopped-owner.ts';

/** The scenarios of the store, in the order of faults.md. Those from shards-even on share one fleet. */
export const STORE_SCENARIOS: readonly Scenario[] = [
  crashAtCommit,
  postgresRestart,
  promotion,
  postgresDown,
  emptiedStore,
  olderCopy,

  massDelete,
  lockWait,
  poolExhausted,
  halfOpenListen,
  pooler,
  notifyQueueFull,
  staleView,
  clocks,
  shardsEven,
  stoppedOwner,
  handoffGraceful,
  handoffCrash,
];
