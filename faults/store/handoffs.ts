import type { OperatorProcess } from '../../test/support/processes.ts';
import { type Handoff, handOff } from '../handoff.ts';
import { judge, median, type Outcome, type Run, type Scenario, seconds, sized } from '../scenario.ts';

async function repeat({ size, stage }: Run, limitMs: number, leave: (it: OperatorProcess) => void): Promise<Outcome> {
  const fleet = await stage.fleet();
  const all: Handoff[] = [];
  for (let i = 0; i < sized(size, 1, 5); i += 1) all.push(await handOff(fleet, leave));
  const worst = (of: (it: Handoff) => number): number => Math.max(...all.map(of));
  const usualMs = median(all.map((it) => it.usualMs));
  const [ownedMs, activeMs, servedMs] = [
    worst((it) => it.ownedMs),
    worst((it) => it.activeMs),
    worst((it) => it.servedMs),
  ];
  return judge(
    [
      { what: `others acted for all of its shards after ${seconds(activeMs)}`, held: activeMs <= limitMs },
      { what: `edits of its jobs were acted on after ${seconds(servedMs)}`, held: servedMs <= limitMs },
    ],
    {
      figure: `${all.length}× ${all[0]?.shards} shards: owned by others after ${seconds(ownedMs)}, acted for after ${seconds(activeMs)}, ${all[0]?.edits} edits served after ${seconds(servedMs)} (usually ${seconds(usualMs)})`,
      limit: seconds(limitMs),
      detail: { handoffs: all, jobs: fleet.jobs.length },
    },
  );
}

export const handoffGraceful: Scenario = {
  row: '20',
  name: 'handoff-graceful',
  what: 'one of three replicas is told to stop: others act for all of its shards, and on edits of its jobs, within 3 s',
  alone: true,
  run: (run) => repeat(run, 3_000, (leaving) => leaving.signal('SIGTERM')),
};

export const handoffCrash: Scenario = {
  row: '20',
  name: 'handoff-crash',
  what: 'one of three replicas is killed: others act for all of its shards, and on edits of its jobs, within 10 s',
  alone: true,
  run: (run) => repeat(run, 10_000, (leaving) => leaving.signal('SIGKILL')),
};
