/* A PKCS#11 library that stands before another one and answers one call as if the token had failed there.

   It forwards whatever is in the other library's CK_FUNCTION_LIST, and counts. No header of PKCS#11 is needed for that:
   every argument there is a number or a pointer, none has more than eight, and a call that passes more than are wanted
   does no harm with the calling conventions of the machines that the tests run on. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CALLS 68
#define OK 0x000UL
#define GENERAL_ERROR 0x005UL
#define ALREADY_INITIALIZED 0x191UL

typedef unsigned long word;
typedef word (*call)(word, word, word, word, word, word, word, word);
struct list {
    unsigned char version[2];
    call calls[CALLS];
};

static struct list *theirs;
static struct list ours;
static word counted, at, lasts, answer, is_done;
static int last = -1, holds, is_held;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* What follows is for the tests. */

/* The call of this number from now on, and `more` after it, get `with`; `done`: though the token does what they ask. */
void faulty_arm(word number, word with, word more, word done) {
    pthread_mutex_lock(&lock);
    counted = 0, at = number, answer = with, lasts = more, is_done = done, holds = 0, last = -1;
    pthread_mutex_unlock(&lock);
}

/* The call of this number from now on does not return before faulty_release. */
void faulty_hold(word number) {
    faulty_arm(number, OK, 0, 1);
    holds = 1;
}

void faulty_release(void) {
    pthread_mutex_lock(&lock);
    holds = is_held = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

int faulty_is_held(void) { return is_held; }

/* How many calls there were since it was armed, and which of the list's was the first to fail; -1: none. */
word faulty_counted(void) { return counted; }
int faulty_last(void) { return last; }

static word pass(int which, word a, word b, word c, word d, word e, word f, word g, word h) {
    word fails, done, with;
    pthread_mutex_lock(&lock);
    counted++;
    fails = at && counted >= at && counted - at <= lasts;
    done = is_done, with = answer;
    if (fails && last < 0) last = which;
    while (fails && holds) {
        is_held = 1;
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    if (fails && !done) return with;
    word got = theirs->calls[which](a, b, c, d, e, f, g, h);
    if (which == 0 && got == ALREADY_INITIALIZED) got = OK; /* the tests use the other one in this process as well */
    return fails && with != OK ? with : got;
}

#define FORWARD(n) \
    static word forward_##n(word a, word b, word c, word d, word e, word f, word g, word h) { \
        return pass(n, a, b, c, d, e, f, g, h); \
    }
#define TEN(what, n) \
    what(n##0) what(n##1) what(n##2) what(n##3) what(n##4) what(n##5) what(n##6) what(n##7) what(n##8) what(n##9)
#define ALL(what) \
    what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) \
    TEN(what, 1) TEN(what, 2) TEN(what, 3) TEN(what, 4) TEN(what, 5) \
    what(60) what(61) what(62) what(63) what(64) what(65) what(66) what(67)
ALL(FORWARD)
#define NAME(n) forward_##n,
static call forwards[CALLS] = {ALL(NAME)};

word C_GetFunctionList(struct list **found) {
    void *library = dlopen(getenv("FAULTY_PKCS11_BEFORE"), RTLD_NOW | RTLD_LOCAL);
    word (*ask)(struct list **) = library ? (word (*)(struct list **))dlsym(library, "C_GetFunctionList") : NULL;
    if (!ask || ask(&theirs) != OK) return GENERAL_ERROR;
    memcpy(ours.version, theirs->version, sizeof ours.version);
    memcpy(ours.calls, forwards, sizeof ours.calls);
    ours.calls[3] = (call)(void *)C_GetFunctionList;
    *found = &ours;
    return OK;
}
