/* Whether a number is finite, from its bits: no comparison that a compiler may take to be always true. */

static int @name@_is_special(double value, int nan_only) {
  @bits@ bits;
  memcpy(&bits, &value, sizeof bits);
  return (bits >> @fraction@ & @exponent@) == @exponent@ && (!nan_only || (bits & @digits@) != 0);
}

static int @name@_is_finite(double value) { return !@name@_is_special(value, 0); }

static int @name@_is_nan(double value) { return @name@_is_special(value, 1); }

/* The quadratic subproblem: min 1/2 d'Hd + g'd subject to rows sign * (d[first] - d[second]) >= bound.
   Dual active set method of Goldfarb and Idnani (1983), with L^-T kept as rows of `basis`. */

typedef struct { int first, second; double sign, bound; } @name@_row;

typedef struct {
  double basis[VARIABLES][VARIABLES];      /* row c: column c of J, with J'HJ = I */
  double triangle[VARIABLES][VARIABLES];   /* column q: constraint q in the basis */
  double multipliers[VARIABLES + 1];
  int active[VARIABLES + 1];
  int count;
} @name@_qp;

static double @name@_slack(const @name@_row *row, const double *d) {
  return row->sign * (d[row->first] - (row->second < 0 ? 0.0 : d[row->second])) - row->bound;
}

/* L with H = LL' in the lower triangle of `h`, then the rows of L^-1, which are the columns of L^-T. */
static int @name@_factorise(double (*h)[VARIABLES], @name@_qp *qp) {
  for (int i = 0; i < VARIABLES; ++i) {
    for (int j = 0; j < i; ++j) {
      double s = h[i][j];
      for (int k = 0; k < j; ++k) s -= h[i][k] * h[j][k];
      h[i][j] = s / h[j][j];
    }
    double pivot = h[i][i];
    for (int k = 0; k < i; ++k) pivot -= h[i][k] * h[i][k];
    if (!@name@_is_finite(pivot) || pivot <= 0) return 0;
    h[i][i] = sqrt(pivot);
  }
  for (int i = 0; i < VARIABLES; ++i) {
    double row[VARIABLES] = {0};
    row[i] = 1;
    for (int k = 0; k < i; ++k) {
      const double w = h[i][k];
      for (int j = 0; j <= k; ++j) row[j] -= w * qp->basis[k][j];
    }
    const double scale = 1 / h[i][i];
    for (int j = 0; j < VARIABLES; ++j) qp->basis[i][j] = row[j] * scale;
  }
  return 1;
}

static void @name@_rotate(double *restrict a, double *restrict b, double c, double s, int from, int to) {
  for (int k = from; k < to; ++k) {
    const double old = a[k];
    a[k] = c * old + s * b[k];
    b[k] = c * b[k] - s * old;
  }
}

static void @name@_add(@name@_qp *qp, double *d, int row, double multiplier) {
  const int q = qp->count;
  for (int i = VARIABLES - 1; i > q; --i) {
    if (d[i] == 0) continue;
    const double length = sqrt(d[i - 1] * d[i - 1] + d[i] * d[i]);
    @name@_rotate(qp->basis[i - 1], qp->basis[i], d[i - 1] / length, d[i] / length, 0, VARIABLES);
    d[i - 1] = length;
    d[i] = 0;
  }
  for (int i = 0; i <= q; ++i) qp->triangle[i][q] = d[i];
  qp->active[q] = row;
  qp->multipliers[q] = multiplier;
  qp->count = q + 1;
}

static void @name@_drop(@name@_qp *qp, int place) {
  const int q = --qp->count;
  for (int j = place; j < q; ++j) {
    for (int i = 0; i <= j + 1; ++i) qp->triangle[i][j] = qp->triangle[i][j + 1];
    qp->active[j] = qp->active[j + 1];
    qp->multipliers[j] = qp->multipliers[j + 1];
  }
  for (int j = place; j < q; ++j) {
    const double a = qp->triangle[j][j], b = qp->triangle[j + 1][j], length = sqrt(a * a + b * b);
    if (length == 0) continue;
    @name@_rotate(qp->triangle[j], qp->triangle[j + 1], a / length, b / length, j, q);
    @name@_rotate(qp->basis[j], qp->basis[j + 1], a / length, b / length, 0, VARIABLES);
  }
}

static int @name@_worst(const @name@_row *rows, const double *d) {
  int worst = -1;
  double least = -@feasible@;
  for (int i = 0; i < ROWS; ++i) {
    const double slack = @name@_slack(&rows[i], d);
    if (slack < least) { least = slack; worst = i; }
  }
  return worst;
}

/* Move along the direction that satisfies row `p`, dropping what blocks; 0 if nothing satisfies it. */
static int @name@_satisfy(@name@_qp *qp, const @name@_row *rows, int p, double *d, int *changes) {
  double multiplier = 0;
  while (*changes < LONGEST) {
    double in_basis[VARIABLES], direction[VARIABLES] = {0}, dual[VARIABLES] = {0};
    const int q = qp->count, first = rows[p].first, second = rows[p].second;
    for (int i = 0; i < VARIABLES; ++i) {
      in_basis[i] = rows[p].sign * (qp->basis[i][first] - (second < 0 ? 0.0 : qp->basis[i][second]));
    }
    double curvature = 0, whole = 0;
    for (int i = 0; i < VARIABLES; ++i) {
      whole += in_basis[i] * in_basis[i];
      if (i < q) continue;
      curvature += in_basis[i] * in_basis[i];
      for (int k = 0; k < VARIABLES; ++k) direction[k] += in_basis[i] * qp->basis[i][k];
    }
    for (int i = q - 1; i >= 0; --i) {
      double s = in_basis[i];
      for (int k = i + 1; k < q; ++k) s -= qp->triangle[i][k] * dual[k];
      dual[i] = s / qp->triangle[i][i];
    }
    int blocking = -1;
    double until_blocked = INFINITY;
    for (int i = 0; i < q; ++i) {
      if (dual[i] > 0 && qp->multipliers[i] / dual[i] < until_blocked) {
        until_blocked = qp->multipliers[i] / dual[i];
        blocking = i;
      }
    }
    const int moves = curvature > @dependent@ * whole;
    const double until_met = moves ? -@name@_slack(&rows[p], d) / curvature : INFINITY;
    const double length = until_met < until_blocked ? until_met : until_blocked;
    if (!@name@_is_finite(length)) return 0;
    if (moves) for (int k = 0; k < VARIABLES; ++k) d[k] += length * direction[k];
    for (int i = 0; i < q; ++i) qp->multipliers[i] -= length * dual[i];
    multiplier += length;
    ++*changes;
    if (until_met <= until_blocked) {
      @name@_add(qp, in_basis, p, multiplier);
      return 1;
    }
    if (blocking < 0) return 0;
    @name@_drop(qp, blocking);
  }
  return 0;
}

/* 1 if d solves the subproblem; the lower triangle of h is overwritten. */
static int @name@_solve(double (*h)[VARIABLES], const double *g, const @name@_row *rows, double *d, int *changes) {
  @name@_qp qp;
  qp.count = 0;
  if (!@name@_factorise(h, &qp)) return 0;
  for (int k = 0; k < VARIABLES; ++k) d[k] = 0;
  for (int i = 0; i < VARIABLES; ++i) {
    double s = 0;
    for (int k = 0; k <= i; ++k) s += qp.basis[i][k] * g[k];
    for (int k = 0; k <= i; ++k) d[k] -= s * qp.basis[i][k];
  }
  for (int start = *changes, row; (row = @name@_worst(rows, d)) >= 0;) {
    if (*changes - start >= LONGEST || !@name@_satisfy(&qp, rows, row, d, changes)) return 0;
  }
  return 1;
}

/* The prediction, its derivatives along it, and the cost. */

typedef struct {
  double state[HORIZON + 1][STATES];
  double output[HORIZON][OUTPUTS];
  double by_state[HORIZON][STATES * STATES];     /* entry [j][i]: d next i / d state j */
  double by_input[HORIZON][INPUTS * STATES];     /* entry [j][i]: d next i / d input j */
  double of_output[HORIZON][OUTPUTS * STATES];   /* entry [i][j]: d output i / d state j */
  double cost;
} @name@_path;

typedef struct { const double *y, *u, *x, *previous; } @name@_targets;

static double @name@_square(const double *weight, const double *a, const double *b, int n) {
  double s = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) s += (a[i] - b[i]) * weight[i * n + j] * (a[j] - b[j]);
  }
  return 0.5 * s;
}

static void @name@_predict(@name@_path *path, const double *u, const @name@_targets *to) {
  double cost = 0;
  for (int k = 0; k < HORIZON; ++k) {
    const double *now = u + k * INPUTS, *before = k ? now - INPUTS : to->previous;
    @name@_model(path->state[k], now, path->state[k + 1], path->by_state[k], path->by_input[k]);
    @name@_reading(path->state[k + 1], path->output[k], path->of_output[k]);
    cost += @name@_square(@name@_Q, path->output[k], to->y, OUTPUTS);
    cost += @name@_square(@name@_R, now, to->u, INPUTS) + @name@_square(@name@_S, now, before, INPUTS);
  }
  if (TERMINAL) cost += @name@_square(@name@_P, path->state[HORIZON], to->x, STATES);
  path->cost = cost;
}

/* h += left' weight left for `size` columns in the lower triangle, g += left' weight error. */
static void @name@_squares(
    double (*h)[VARIABLES], double *g, const double *left, const double *weight, const double *error, int n, int size) {
  for (int i = 0; i < n; ++i) {
    double weighted[VARIABLES] = {0}, along = 0;
    for (int j = 0; j < n; ++j) {
      const double w = weight[i * n + j];
      if (w == 0) continue;
      along += w * error[j];
      for (int c = 0; c < size; ++c) weighted[c] += w * left[j * VARIABLES + c];
    }
    const double *row = left + i * VARIABLES;
    for (int a = 0; a < size; ++a) {
      g[a] += row[a] * along;
      const double w = row[a];
      for (int b = 0; b <= a; ++b) h[a][b] += w * weighted[b];
    }
  }
}

/* What the weights of inputs and increments add. */
static void @name@_input_terms(double (*h)[VARIABLES], double *g, const double *u, const @name@_targets *to) {
  for (int k = 0; k < HORIZON; ++k) {
    const double *now = u + k * INPUTS, *before = k ? now - INPUTS : to->previous;
    const int at = k * INPUTS;
    for (int i = 0; i < INPUTS; ++i) {
      for (int j = 0; j < INPUTS; ++j) {
        const double r = @name@_R[i * INPUTS + j], s = @name@_S[i * INPUTS + j], step = s * (now[j] - before[j]);
        g[at + i] += r * (now[j] - to->u[j]) + step;
        h[at + i][at + j] += r + s;
        if (k == 0) continue;
        g[at + i - INPUTS] -= step;
        h[at + i - INPUTS][at + j - INPUTS] += s;
        h[at + i][at + j - INPUTS] -= s;
      }
    }
  }
}

/* Sensitivities one sample on: those of the inputs before, and the new ones of input k. */
static void @name@_advance(const @name@_path *path, int k, double (*sensitivity)[STATES]) {
  for (int c = 0; c < k * INPUTS; ++c) {
    double next[STATES] = {0};
    for (int j = 0; j < STATES; ++j) {
      const double w = sensitivity[c][j];
      for (int i = 0; i < STATES; ++i) next[i] += w * path->by_state[k][j * STATES + i];
    }
    memcpy(sensitivity[c], next, sizeof next);
  }
  memcpy(sensitivity[k * INPUTS], path->by_input[k], sizeof path->by_input[k]);
}

/* Gauss-Newton: the gradient and the lower triangle of J'WJ, with sensitivities by recursion over the horizon. */
static void @name@_condense(
    const @name@_path *path, const double *u, const @name@_targets *to, double (*h)[VARIABLES], double *g) {
  double sensitivity[VARIABLES][STATES], error[OUTPUTS], last[STATES];
  memset(h, 0, sizeof(double) * VARIABLES * VARIABLES);
  memset(g, 0, sizeof(double) * VARIABLES);
  for (int k = 0; k < HORIZON; ++k) {
    @name@_advance(path, k, sensitivity);
    const int size = (k + 1) * INPUTS;
    double seen[OUTPUTS * VARIABLES] = {0};
    for (int i = 0; i < OUTPUTS; ++i) {
      error[i] = path->output[k][i] - to->y[i];
      for (int c = 0; c < size; ++c) {
        double s = 0;
        for (int j = 0; j < STATES; ++j) s += path->of_output[k][i * STATES + j] * sensitivity[c][j];
        seen[i * VARIABLES + c] = s;
      }
    }
    @name@_squares(h, g, seen, @name@_Q, error, OUTPUTS, size);
  }
  if (TERMINAL) {
    double across[STATES * VARIABLES];
    for (int j = 0; j < STATES; ++j) {
      last[j] = path->state[HORIZON][j] - to->x[j];
      for (int c = 0; c < VARIABLES; ++c) across[j * VARIABLES + c] = sensitivity[c][j];
    }
    @name@_squares(h, g, across, @name@_P, last, STATES, VARIABLES);
  }
  @name@_input_terms(h, g, u, to);
  double largest = 0;
  for (int i = 0; i < VARIABLES; ++i) largest = h[i][i] > largest ? h[i][i] : largest;
  for (int i = 0; i < VARIABLES; ++i) h[i][i] += @damping@ * largest + @least@; /* inputs without any effect */
}

/* What Gauss-Newton leaves out: h += sum_k V_k' W_k V_k, with W_k the second derivatives of
   costate' f(x_k, u_k) + (Q error)' g(x_k) by (x_k, u_k), and V_k those of (x_k, u_k) by the plan. */
static void @name@_curve(const @name@_path *path, const double *u, const @name@_targets *to, double (*h)[VARIABLES]) {
  enum { BOTH = STATES + INPUTS };
  double costate[HORIZON + 2][STATES], pull[HORIZON + 1][OUTPUTS], sensitivity[VARIABLES][STATES];
  memset(costate[HORIZON + 1], 0, sizeof costate[0]);
  memset(pull[0], 0, sizeof pull[0]);
  for (int k = HORIZON; k > 0; --k) { /* costate[k]: derivative of the cost by x_k */
    for (int i = 0; i < OUTPUTS; ++i) {
      pull[k][i] = 0;
      for (int j = 0; j < OUTPUTS; ++j) {
        pull[k][i] += @name@_Q[i * OUTPUTS + j] * (path->output[k - 1][j] - to->y[j]);
      }
    }
    for (int j = 0; j < STATES; ++j) {
      double s = 0;
      for (int i = 0; i < OUTPUTS; ++i) s += path->of_output[k - 1][i * STATES + j] * pull[k][i];
      for (int i = 0; i < STATES; ++i) {
        if (k < HORIZON) s += path->by_state[k][j * STATES + i] * costate[k + 1][i];
        else if (TERMINAL) s += @name@_P[j * STATES + i] * (path->state[HORIZON][i] - to->x[i]);
      }
      costate[k][j] = s;
    }
  }
  for (int k = 0; k <= HORIZON; ++k) {
    double curvature[BOTH * BOTH];
    const double *given = u + (k < HORIZON ? k : k - 1) * INPUTS;
    @name@_curvature(path->state[k], given, costate[k + 1], pull[k], curvature);
    const int old = k * INPUTS, size = k < HORIZON ? old + INPUTS : old;
    double across[STATES][VARIABLES]; /* neighbours in the innermost loop below */
    for (int i = 0; i < STATES; ++i) for (int b = 0; b < old; ++b) across[i][b] = sensitivity[b][i];
    for (int a = 0; a < size; ++a) {
      double weighted[BOTH] = {0};
      for (int j = 0; j < BOTH; ++j) {
        const double w = a < old ? (j < STATES ? sensitivity[a][j] : 0.0) : (double)(j == STATES + a - old);
        if (w == 0) continue;
        for (int i = 0; i < BOTH; ++i) weighted[i] += w * curvature[j * BOTH + i];
      }
      const int last = a < old ? a + 1 : old;
      for (int i = 0; i < STATES; ++i) {
        const double w = weighted[i];
        for (int b = 0; b < last; ++b) h[a][b] += w * across[i][b];
      }
      for (int b = old; b <= a; ++b) h[a][b] += weighted[STATES + b - old];
    }
    if (k < HORIZON) @name@_advance(path, k, sensitivity);
  }
}

/* Limits. */

static double @name@_clip(double value, double low, double high) {
  return value < low ? low : value > high ? high : value;
}

/* The nearest input within the box and, from `before` on, within the rate. */
static void @name@_limit(double *u, const double *before) {
  for (int i = 0; i < INPUTS; ++i) {
    double low = @name@_low[i], high = @name@_high[i];
    if (LIMITED) {
      low = before[i] - @name@_rate[i] > low ? before[i] - @name@_rate[i] : low;
      high = before[i] + @name@_rate[i] < high ? before[i] + @name@_rate[i] : high;
    }
    u[i] = @name@_clip(u[i], low, high);
  }
}

static void @name@_rows(@name@_row *rows, const double *u, const double *previous) {
  for (int v = 0; v < VARIABLES; ++v) {
    const int i = v % INPUTS, before = v - INPUTS;
    *rows++ = (@name@_row){v, -1, 1, @name@_low[i] - u[v]};
    *rows++ = (@name@_row){v, -1, -1, u[v] - @name@_high[i]};
    if (!LIMITED) continue;
    const double change = u[v] - (before < 0 ? previous[i] : u[before]);
    *rows++ = (@name@_row){v, before < 0 ? -1 : before, 1, -@name@_rate[i] - change};
    *rows++ = (@name@_row){v, before < 0 ? -1 : before, -1, change - @name@_rate[i]};
  }
}

static int @name@_finite(const double *values, int n) {
  for (int i = 0; i < n; ++i) if (!@name@_is_finite(values[i])) return 0;
  return 1;
}

/* The plan that holds the previous input. */
static void @name@_hold(double *plan, const double *previous) {
  for (int v = 0; v < VARIABLES; ++v) plan[v] = previous[v % INPUTS];
}

/* The plan of the last call, one sample later and within the limits; a prediction that is finite, or 0. */
static int @name@_start(@name@_path *path, double *plan, const @name@_targets *to) {
  for (int v = 0; v + INPUTS < VARIABLES; ++v) plan[v] = plan[v + INPUTS];
  if (!@name@_finite(plan, VARIABLES)) @name@_hold(plan, to->previous);
  for (int k = 0; k < HORIZON; ++k) @name@_limit(plan + k * INPUTS, k ? plan + (k - 1) * INPUTS : to->previous);
  @name@_predict(path, plan, to);
  if (@name@_is_finite(path->cost)) return 1;
  @name@_hold(plan, to->previous);
  @name@_predict(path, plan, to);
  return @name@_is_finite(path->cost);
}

/* Halve the step until the true cost falls by a part of what the gradient promises, up to rounding. */
static int @name@_search(
    @name@_path *path, double *plan, const double *d, double slope, const @name@_targets *to) {
  double trial[VARIABLES], scale = 1;
  const double old = path->cost + @rounding@ * (1 + path->cost);
  for (int halvings = 0; halvings < 20; ++halvings, scale *= 0.5) {
    for (int v = 0; v < VARIABLES; ++v) trial[v] = plan[v] + scale * d[v];
    @name@_predict(path, trial, to);
    if (@name@_is_finite(path->cost) && path->cost <= old + 1e-4 * scale * slope) {
      memcpy(plan, trial, sizeof trial);
      return 1;
    }
  }
  return 0;
}

/* 1 if d solves the subproblem with the Hessian h, whose lower triangle is kept. Inputs that are held at a limit
   are taken out first and come back if the solution would move them inwards; with limits of the rate, whose
   multipliers act on them too, nothing is taken out. */
static int @name@_solve_reduced(
    double (*h)[VARIABLES], const double *g, const @name@_row *rows, const int *limit, double *d, int *changes) {
  double work[VARIABLES][VARIABLES], slope[VARIABLES];
  int held[VARIABLES], count = 0;
  for (int v = 0; v < VARIABLES; ++v) {
    held[v] = LIMITED ? 0 : limit[v];
    count += held[v] != 0;
  }
  for (int attempt = 0; count != 0 && attempt < 4; ++attempt) {
    for (int a = 0; a < VARIABLES; ++a) {
      for (int b = 0; b < a; ++b) work[a][b] = held[a] || held[b] ? 0 : h[a][b];
      work[a][a] = held[a] ? 1 : h[a][a];
      slope[a] = held[a] ? 0 : g[a];
    }
    if (!@name@_solve(work, slope, rows, d, changes)) return 0;
    int released = 0;
    for (int v = 0; v < VARIABLES; ++v) {
      if (!held[v]) continue;
      double inward = g[v];
      for (int b = 0; b < VARIABLES; ++b) inward += (b <= v ? h[v][b] : h[b][v]) * d[b];
      if (inward * held[v] < 0) { held[v] = 0; ++released; }
    }
    if (!released) return 1;
    *changes += released;
  }
  memcpy(work, h, sizeof work);
  return @name@_solve(work, g, rows, d, changes);
}

/* What is known of the part of the Hessian that Gauss-Newton leaves out. */
typedef enum { UNASKED, LEFT_OUT, WANTED, KNOWN } @name@_stage;

/* Errors that are large beside what an input can change make that part large: then it is worth its price from the
   first step on. */
static @name@_stage @name@_judge(const @name@_path *path, double (*h)[VARIABLES]) {
  double most = 0;
  for (int v = 0; v < VARIABLES; ++v) most = h[v][v] > most ? h[v][v] : most;
  return path->cost > 0.1 * most ? WANTED : LEFT_OUT;
}

/* The step of the quadratic subproblem. Where Gauss-Newton is slow, because errors stay large, what it leaves out
   is added, or as much of it as keeps the subproblem convex. It changes little from step to step, so `rest` is
   computed anew only where steps do not shrink fast. */
static int @name@_subproblem(
    const @name@_path *path, const double *plan, const @name@_targets *to, double *g, double *d,
    double (*rest)[VARIABLES], @name@_stage *stage, int *changes) {
  double gauss_newton[VARIABLES][VARIABLES], h[VARIABLES][VARIABLES];
  @name@_row rows[ROWS];
  @name@_rows(rows, plan, to->previous);
  int held[VARIABLES]; /* 1: at the lower limit, -1: at the upper one, and the cost pushes outwards */
  @name@_condense(path, plan, to, gauss_newton, g);
  for (int v = 0; v < VARIABLES; ++v) {
    held[v] = (plan[v] <= @name@_low[v % INPUTS] && g[v] > 0) - (plan[v] >= @name@_high[v % INPUTS] && g[v] < 0);
  }
  if (*stage == UNASKED) *stage = @name@_judge(path, gauss_newton);
  if (*stage == WANTED) {
    memset(rest, 0, sizeof(double) * VARIABLES * VARIABLES);
    @name@_curve(path, plan, to, rest);
    *stage = KNOWN;
  }
  for (double share = *stage == KNOWN; share > 0.1; share *= 0.5) {
    for (int a = 0; a < VARIABLES; ++a) {
      for (int b = 0; b <= a; ++b) {
        h[a][b] = gauss_newton[a][b] + (held[a] || held[b] ? 0 : share * rest[a][b]); /* not needed there */
      }
    }
    if (@name@_solve_reduced(h, g, rows, held, d, changes)) return 1;
  }
  return @name@_solve_reduced(gauss_newton, g, rows, held, d, changes);
}

static int @name@_optimise(@name@_path *path, double *plan, const @name@_targets *to, struct @name@_stats *stats) {
  double g[VARIABLES], d[VARIABLES], rest[VARIABLES][VARIABLES], before = INFINITY;
  @name@_stage stage = ITERATIONS == 1 ? LEFT_OUT : UNASKED;
  for (stats->iterations = 1; stats->iterations <= ITERATIONS; ++stats->iterations) {
    stats->cost = path->cost;
    const int solved = @name@_subproblem(path, plan, to, g, d, rest, &stage, &stats->changes);
    if (!@name@_finite(g, VARIABLES)) return 2;
    if (!solved) return 1;
    if (!@name@_finite(d, VARIABLES)) return 2;
    double slope = 0, step = 0;
    for (int v = 0; v < VARIABLES; ++v) {
      slope += g[v] * d[v];
      step = fabs(d[v]) > step ? fabs(d[v]) : step;
    }
    if (!@name@_is_finite(step)) return 2;
    stats->step = step;
    if (stats->iterations > 1 && step > 0.3 * before) stage = WANTED;
    before = step;
    const int small = step <= TOLERANCE || -slope <= @flat@ * (1 + path->cost);
    if (small || ITERATIONS == 1) { /* one iteration only: the step is taken as it is (real-time iteration) */
      for (int v = 0; v < VARIABLES; ++v) plan[v] += d[v];
      return small ? 0 : 1;
    }
    if (!@name@_search(path, plan, d, slope, to)) return 1;
  }
  stats->iterations = ITERATIONS;
  return 1;
}

int @name@_control(const double *x0, const double *y_ref, const double *u_ref, const double *x_ref,
                   const double *u_previous, double *u_plan, double *u_now, struct @name@_stats *stats);
int @name@_control(const double *x0, const double *y_ref, const double *u_ref, const double *x_ref,
                   const double *u_previous, double *u_plan, double *u_now, struct @name@_stats *stats) {
  @memory@@name@_path path;
  double previous[INPUTS];
  *stats = (struct @name@_stats){0, 0, NAN, NAN};
  for (int i = 0; i < INPUTS; ++i) {
    previous[i] = @name@_is_nan(u_previous[i]) ? u_ref[i] : u_previous[i];
    if (@name@_is_nan(previous[i])) previous[i] = 0.5 * (@name@_low[i] + @name@_high[i]);
    previous[i] = @name@_clip(previous[i], @name@_low[i], @name@_high[i]);
  }
  const @name@_targets to = {y_ref, u_ref, x_ref, previous};
  memcpy(path.state[0], x0, sizeof path.state[0]);
  int status = 2;
  const int finite = @name@_finite(u_previous, INPUTS) && @name@_finite(x0, STATES);
  const int aimed = @name@_finite(y_ref, OUTPUTS) && @name@_finite(u_ref, INPUTS);
  if (finite && !aimed) status = 3;
  if (finite && aimed && @name@_start(&path, u_plan, &to)) {
    status = @name@_optimise(&path, u_plan, &to, stats);
  }
  if (!@name@_finite(u_plan, VARIABLES)) status = status == 3 ? 3 : 2;
  if (status >= 2) @name@_hold(u_plan, previous);
  for (int k = 0; k < HORIZON; ++k) @name@_limit(u_plan + k * INPUTS, k ? u_plan + (k - 1) * INPUTS : previous);
  memcpy(u_now, u_plan, sizeof previous);
  return status;
}
