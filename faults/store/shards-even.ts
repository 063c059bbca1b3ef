import { division, isEven, ownerships } from '../replicas.ts';
import { judge, type Scenario, seconds } from '../scenario.ts';

export const shardsEven: Scenario = {
  row: '19',
  name: 'shards-even',
  what: 'three replicas on one store divide the shards evenly within one, and together make every job run',
  alone: true,
  run: async ({ stage }) => {
    const { database, jobs, replicas, convergedMs } = await stage.fleet();
    const owned = await ownerships(database.superuserUrl);
    const sizes = [...division(owned).values()].sort((a, b) => b - a);
    const pids = replicas.map(({ pid }) => pid);
    return judge([{ what: `the shards are divided ${sizes.join(', ')}`, held: isEven(owned, pids) }], {
      figure: `${sizes.join(' / ')} shards; ${jobs.length} jobs run after ${seconds(convergedMs)}`,
      limit: 'even within one',
      detail: { sizes, jobs: jobs.length, convergedMs: Math.round(convergedMs) },
    });
  },
};
