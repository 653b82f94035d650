/* What the caller needs beside @name@_control, which takes and gives scaled signals.

   @name@_scale_input, @name@_scale_output      plant units to scaled ones: (value - offset) / scale
   @name@_unscale_input, @name@_unscale_output  and back
   @name@_step(u, x, next)   the state one sample on; it is the caller who keeps the state
   @name@_output(x, y)       what the sensors show
   @name@_target(y_ref, u_ref, x_ref)   in: where the search begins (zeros, or the last target); out: the rest
                             at which the output is y_ref, by Gauss-Newton within the limits of the input.
                             Returns 0: reached, 1: the nearest output found, 2: the model does not come to
                             rest, and u_ref and x_ref are as they were

   @name@_begin(memory, input)   the plant rests under this input (plant units); the state of the model is its rest
                             under it, whatever the sensors show
   @name@_begin_at(memory, measured, input)   the plant shows these outputs, and this input was applied until now: the
                             state of the model is the rest that shows the outputs, or the nearest, under another input
                             where plant and model differ. `attractor control` begins a plant of your own like this,
                             with its nominal_inputs. Outputs that are no numbers begin as @name@_begin does
   @name@_sample(memory, measured, reference, input, stats)   all of a sample, in plant units: from a measurement to
                             the input to apply until the next one. An output that is NaN or infinite was not
                             measured: what the model expects of it, with the last offset, stands in. Returns what
                             @name@_control returns; 3 as long as the reference is not finite.

   @name@_sample keeps the state by the model alone, and the offset of every output, which it learns at the rate
   OFFSET_GAIN and takes off the reference. With an observer of your own, a sample is: scale the measurement; y_ref =
   scaled reference less the estimated output disturbance; @name@_target; where it returns 1, y_ref = output at x_ref;
   @name@_control; apply the unscaled u_now; the observer with u_now and the next measurement. */
@@@

void @name@_scale_@kind@(const double *values, double *scaled);
void @name@_scale_@kind@(const double *values, double *scaled) {
  for (int i = 0; i < @COUNT@; ++i) {
    scaled[i] = (values[i] - @name@_@kind@_offset[i]) / @name@_@kind@_scale[i];
  }
}

void @name@_unscale_@kind@(const double *scaled, double *values);
void @name@_unscale_@kind@(const double *scaled, double *values) {
  for (int i = 0; i < @COUNT@; ++i) values[i] = scaled[i] * @name@_@kind@_scale[i] + @name@_@kind@_offset[i];
}
@@@

typedef struct { double next[STATES], by_x[STATES * STATES], by_u[INPUTS * STATES], defect; } @name@_linearisation;

/* The next state from x under u; how far it is from x, infinite where it is no number. */
static void @name@_try(const double *x, const double *u, @name@_linearisation *at) {
  @name@_model(x, u, at->next, at->by_x, at->by_u);
  at->defect = @name@_finite(at->next, STATES) && @name@_finite(x, STATES) ? 0 : INFINITY;
  for (int i = 0; i < STATES; ++i) at->defect = fmax(at->defect, fabs(at->next[i] - x[i]));
}

/* (I - A)^-1 of the columns B and f(x, u) - x, by elimination with pivots. */
static void @name@_divide(const @name@_linearisation *at, const double *x, double (*a)[STATES + INPUTS + 1]) {
  enum { WIDTH = STATES + INPUTS + 1 };
  for (int i = 0; i < STATES; ++i) {
    for (int j = 0; j < STATES; ++j) a[i][j] = (double)(i == j) - at->by_x[j * STATES + i];
    for (int c = 0; c < INPUTS; ++c) a[i][STATES + c] = at->by_u[c * STATES + i];
    a[i][STATES + INPUTS] = at->next[i] - x[i];
  }
  for (int i = 0; i < STATES; ++i) {
    int pivot = i;
    for (int r = i + 1; r < STATES; ++r) if (fabs(a[r][i]) > fabs(a[pivot][i])) pivot = r;
    for (int j = i; j < WIDTH; ++j) {
      const double held = a[i][j];
      a[i][j] = a[pivot][j];
      a[pivot][j] = held;
    }
    for (int r = 0; r < STATES; ++r) {
      if (r == i) continue;
      const double w = a[r][i] / a[i][i];
      for (int j = i; j < WIDTH; ++j) a[r][j] -= w * a[i][j];
    }
  }
  for (int i = 0; i < STATES; ++i) for (int j = STATES; j < WIDTH; ++j) a[i][j] /= a[i][i];
}

/* From any x to the rest under u, and its derivative by u, entry [c * STATES + i] = d x_i / d u_c; 0 without rest.
   Newton's method, and samples of the model where it does not help. */
static int @name@_settle(const double *u, double *x, double *by) {
  @name@_linearisation at, other;
  double a[STATES][STATES + INPUTS + 1], trial[STATES];
  @name@_try(x, u, &at);
  for (int round = 0; round < @longest@ && @name@_is_finite(at.defect); ++round) {
    double size = 1;
    for (int i = 0; i < STATES; ++i) size = fmax(size, fabs(x[i]));
    @name@_divide(&at, x, a);
    if (at.defect <= @settled@ * size) {
      for (int c = 0; c < INPUTS; ++c) for (int i = 0; i < STATES; ++i) by[c * STATES + i] = a[i][STATES + c];
      return @name@_finite(by, INPUTS * STATES);
    }
    for (int i = 0; i < STATES; ++i) trial[i] = x[i] + a[i][STATES + INPUTS];
    @name@_try(trial, u, &other);
    if (other.defect < 0.5 * at.defect) {
      memcpy(x, trial, sizeof trial);
      at = other;
      continue;
    }
    for (int sample = 0; sample < 10; ++sample) {
      memcpy(x, at.next, sizeof at.next);
      @name@_try(x, u, &at);
    }
  }
  return 0;
}

/* h d = g by elimination; inputs that would leave their limits are set to them and the others solved again. */
static void @name@_solve_within(double (*h)[INPUTS], const double *g, const double *u, double *d) {
  int fixed[INPUTS] = {0};
  for (int found = 1; found;) {
    double a[INPUTS][INPUTS + 1];
    for (int c = 0; c < INPUTS; ++c) {
      a[c][INPUTS] = fixed[c] ? d[c] : g[c];
      for (int e = 0; e < INPUTS; ++e) {
        a[c][e] = fixed[c] || fixed[e] ? (double)(c == e) : h[c][e];
        if (!fixed[c] && fixed[e]) a[c][INPUTS] -= h[c][e] * d[e];
      }
    }
    for (int c = 0; c < INPUTS; ++c) {
      for (int r = c + 1; r < INPUTS; ++r) {
        const double w = a[r][c] / a[c][c];
        for (int e = c; e <= INPUTS; ++e) a[r][e] -= w * a[c][e];
      }
    }
    for (int c = INPUTS - 1; c >= 0; --c) {
      double s = a[c][INPUTS];
      for (int e = c + 1; e < INPUTS; ++e) s -= a[c][e] * d[e];
      d[c] = s / a[c][c];
    }
    found = 0;
    for (int c = 0; c < INPUTS; ++c) {
      const double within = @name@_clip(d[c], @name@_low[c] - u[c], @name@_high[c] - u[c]);
      if (fixed[c] || within == d[c]) continue;
      fixed[c] = found = 1;
      d[c] = within;
    }
  }
}

/* The change of u within its limits that brings a linear y nearest to y_ref; Gauss-Seidel sweeps let go of limits. */
static void @name@_aim(const double *u, const double *x, const double *by, const double *y_ref, double *d) {
  double y[OUTPUTS], of_x[OUTPUTS * STATES], gain[OUTPUTS][INPUTS];
  double h[INPUTS][INPUTS] = {{0}}, g[INPUTS] = {0}, trace = 0;
  @name@_reading(x, y, of_x);
  for (int o = 0; o < OUTPUTS; ++o) {
    for (int c = 0; c < INPUTS; ++c) {
      gain[o][c] = 0;
      for (int i = 0; i < STATES; ++i) gain[o][c] += of_x[o * STATES + i] * by[c * STATES + i];
    }
  }
  for (int o = 0; o < OUTPUTS; ++o) {
    for (int p = 0; p < OUTPUTS; ++p) {
      const double w = @name@_Q[o * OUTPUTS + p];
      for (int c = 0; c < INPUTS; ++c) {
        g[c] += gain[o][c] * w * (y_ref[p] - y[p]);
        for (int e = 0; e < INPUTS; ++e) h[c][e] += gain[o][c] * w * gain[p][e];
      }
    }
  }
  for (int c = 0; c < INPUTS; ++c) trace += h[c][c];
  for (int c = 0; c < INPUTS; ++c) { /* with inputs to spare, the nearest solution */
    h[c][c] += @spare@ * trace + @least@;
    d[c] = 0;
  }
  @name@_solve_within(h, g, u, d);
  for (int sweep = 0; sweep < 1000; ++sweep) {
    double change = 0;
    for (int c = 0; c < INPUTS; ++c) {
      double s = g[c];
      for (int e = 0; e < INPUTS; ++e) s -= h[c][e] * d[e];
      const double after = @name@_clip(d[c] + s / h[c][c], @name@_low[c] - u[c], @name@_high[c] - u[c]);
      change = fmax(change, fabs(after - d[c]));
      d[c] = after;
    }
    if (change <= @rounding@) break;
  }
}

static double @name@_miss(const double *x, const double *y_ref, double *farthest) {
  double y[OUTPUTS], of_x[OUTPUTS * STATES];
  @name@_reading(x, y, of_x);
  *farthest = 0;
  for (int o = 0; o < OUTPUTS; ++o) *farthest = fmax(*farthest, fabs(y[o] - y_ref[o]));
  return @name@_square(@name@_Q, y, y_ref, OUTPUTS);
}

int @name@_target(const double *y_ref, double *u_ref, double *x_ref);
int @name@_target(const double *y_ref, double *u_ref, double *x_ref) {
  double u[INPUTS], x[STATES], by[INPUTS * STATES] = {0}, d[INPUTS], farthest;
  for (int c = 0; c < INPUTS; ++c) {
    u[c] = @name@_clip(@name@_is_finite(u_ref[c]) ? u_ref[c] : 0.0, @name@_low[c], @name@_high[c]);
  }
  for (int i = 0; i < STATES; ++i) x[i] = @name@_is_finite(x_ref[i]) ? x_ref[i] : 0.0;
  if (!@name@_finite(y_ref, OUTPUTS) || !@name@_settle(u, x, by)) return 2;
  double cost = @name@_miss(x, y_ref, &farthest);
  for (int round = 0, better = 1; round < 50 && better; ++round) {
    @name@_aim(u, x, by, y_ref, d);
    better = 0;
    for (double share = 1; share > 1e-4 && !better; share *= 0.5) {
      double trial[INPUTS], at[STATES], along[INPUTS * STATES], away;
      memcpy(at, x, sizeof at);
      memcpy(along, by, sizeof along);
      for (int c = 0; c < INPUTS; ++c) trial[c] = @name@_clip(u[c] + share * d[c], @name@_low[c], @name@_high[c]);
      if (!@name@_settle(trial, at, along)) continue;
      const double next = @name@_miss(at, y_ref, &away);
      if (!@name@_is_finite(next) || next >= cost) continue;
      better = 1;
      cost = next;
      farthest = away;
      memcpy(u, trial, sizeof u);
      memcpy(x, at, sizeof x);
      memcpy(by, along, sizeof by);
    }
  }
  memcpy(u_ref, u, sizeof u);
  memcpy(x_ref, x, sizeof x);
  return farthest <= @reached@ ? 0 : 1;
}

/* A controller between two samples; one for each plant. */
struct @name@_memory {
  double state[STATES], offset[OUTPUTS], plan[VARIABLES], input[INPUTS];
  double target_state[STATES], target_input[INPUTS];
  int seen[OUTPUTS]; /* whether an output was ever measured */
};

void @name@_begin(struct @name@_memory *memory, const double *input);
void @name@_begin(struct @name@_memory *memory, const double *input) {
  double by[INPUTS * STATES];
  memset(memory, 0, sizeof *memory);
  @name@_scale_input(input, memory->input);
  for (int c = 0; c < INPUTS; ++c) {
    if (!@name@_is_finite(memory->input[c])) memory->input[c] = 0.5 * (@name@_low[c] + @name@_high[c]);
    memory->input[c] = @name@_clip(memory->input[c], -1.0, 1.0); /* beyond the training the model says nothing */
    memory->target_input[c] = @name@_clip(memory->input[c], @name@_low[c], @name@_high[c]);
    for (int k = 0; k < HORIZON; ++k) memory->plan[k * INPUTS + c] = memory->target_input[c];
  }
  (void)@name@_settle(memory->input, memory->state, by);
  memcpy(memory->target_state, memory->state, sizeof memory->state);
}

void @name@_begin_at(struct @name@_memory *memory, const double *measured, const double *input);
void @name@_begin_at(struct @name@_memory *memory, const double *measured, const double *input) {
  double seen[OUTPUTS], under[INPUTS], rest[STATES];
  @name@_begin(memory, input);
  @name@_scale_output(measured, seen);
  memcpy(under, memory->target_input, sizeof under);
  memcpy(rest, memory->target_state, sizeof rest);
  if (@name@_target(seen, under, rest) != 2) memcpy(memory->state, rest, sizeof rest);
}

int @name@_sample(struct @name@_memory *memory, const double *measured, const double *reference, double *input,
                  struct @name@_stats *stats);
int @name@_sample(struct @name@_memory *memory, const double *measured, const double *reference, double *input,
                  struct @name@_stats *stats) {
  double seen[OUTPUTS], expected[OUTPUTS], aim[OUTPUTS], now[INPUTS], next[STATES], by[INPUTS * STATES];
  if (!@name@_finite(memory->state, STATES)) { /* numbers out of all proportion were measured: begin anew */
    memset(memory->state, 0, sizeof memory->state);
    memset(memory->offset, 0, sizeof memory->offset);
    (void)@name@_settle(memory->input, memory->state, by);
  }
  @name@_scale_output(measured, seen);
  @name@_scale_output(reference, aim);
  @name@_output(memory->state, expected);
  for (int o = 0; o < OUTPUTS; ++o) {
    if (@name@_is_finite(seen[o])) {
      const double gain = memory->seen[o] || @name@_offset_gain[o] <= 0 ? @name@_offset_gain[o] : 1;
      memory->offset[o] += gain * (seen[o] - expected[o] - memory->offset[o]);
      memory->seen[o] = 1;
    }
    aim[o] -= memory->offset[o];
  }
  if (@name@_target(aim, memory->target_input, memory->target_state) == 1) {
    @name@_output(memory->target_state, aim);
  }
  const int status = @name@_control(memory->state, aim, memory->target_input, memory->target_state, memory->input,
                                    memory->plan, now, stats);
  @name@_unscale_input(now, input);
  @name@_step(now, memory->state, next);
  memcpy(memory->state, next, sizeof next);
  memcpy(memory->input, now, sizeof now);
  return status;
}
