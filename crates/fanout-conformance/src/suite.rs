//! The table of all cases, and the call that runs them.

/// Runs every case of the suite on the engines that `$harness` makes: one test per case and mode of
/// completion, in a module per family and mode. The expression is evaluated anew for each.
#[macro_export]
macro_rules! suite {
    ($harness:expr) => {
        $crate::__each_case! { [tests $harness] }
    };
}

/// Hands the table of families and cases on to `__expand!`. The only place that names the cases.
///
/// `both` families run in either mode: their topics are of that mode unless they say otherwise.
/// `tracked` ones are about what reference counting alone has; `once`, about no mode in particular
/// or about several.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_case {
    ($purpose:tt) => {
        $crate::__expand! { $purpose
            both accounting {
                figures_follow_every_step
                a_lease_counts_as_in_flight_to_its_end
                live_groups_are_listed_by_name
                what_is_owed_can_be_read_in_pages
                a_committed_settlement_counts_at_once
                members_count_what_they_do
            }
            both blocking {
                a_failure_blocks_its_key_until_it_is_due
                what_was_delivered_after_it_in_its_lane_is_released
                in_one_call_too
                other_lanes_go_on
                messages_without_a_key_block_too
                the_last_attempt_lets_the_lane_go_on
                with_one_attempt_nothing_waits
                failures_are_counted_per_message
                a_release_does_not_block
                a_blocked_lane_survives_its_member
                a_late_failure_blocks_nothing
                pausing_and_cancelling_concern_it_too
                a_later_commit_waits_behind_it
                a_transaction_settles_what_came_before
                new_options_turn_it_on_and_off
            }
            once closed {
                every_call_says_so
                members_say_so
                closing_again_changes_nothing
            }
            both contention {
                f4_groups_that_settle_the_same_messages_neither_deadlock_nor_miscount
                f4_failures_and_settlements_of_many_groups_mix
            }
            both dead_letters {
                the_last_attempt_makes_a_dead_letter
                with_one_attempt_the_first_failure_is_the_last
                texts_of_failures_are_kept_within_bounds
                a_retried_message_takes_any_text_too
                poison_keeps_what_the_last_failure_said
                releases_and_extensions_are_no_stalls
                giving_up_concerns_one_group
                dead_letters_are_listed_oldest_first
                dead_letters_outlive_their_topic
                dead_letters_outlive_their_subscription
            }
            both dropped {
                a_dropped_publish_is_whole_or_nothing
                a_dropped_fetch_loses_nothing
                dropped_fetches_give_no_message_to_two_members
                who_leaves_after_a_dropped_fetch_keeps_nothing
                a_dropped_settlement_stands_or_not
                a_dropped_failure_counts_once_or_not
                a_dropped_subscribe_can_be_repeated
                a_dropped_cancellation_can_be_repeated
                dropped_pauses_and_beats_change_status_or_not
                a_dropped_creation_can_be_repeated
                a_dropped_deletion_can_be_repeated
                dropped_maintenance_can_be_repeated
                dropped_work_is_whole_or_nothing
                work_dropped_in_the_middle_leaves_nothing_behind
                transactions_dropped_often_leave_room
                a_dropped_commit_stands_or_not
            }
            both fan_out {
                every_group_receives_every_message
                groups_go_at_their_own_pace
                a_later_group_gets_later_messages_only
                members_share_a_groups_messages
                topics_are_apart
                many_groups_are_told_apart
            }
            both incarnations {
                a_member_of_a_former_subscription_settles_nothing_of_a_later_one
                what_a_former_subscription_fetched_is_stale_in_a_later_one
                a_member_settles_nothing_of_who_has_its_bit_later
                a_transaction_settles_nothing_of_an_ended_subscription_in_any_order
                a_heartbeat_after_a_seek_hides_nothing
                after_seeks_a_member_has_nothing_that_another_has
                whoever_slept_through_a_seek_settles_what_others_got_since
                a_member_leaves_after_a_seek
            }
            both late_commits {
                ids_may_commit_in_any_order
                many_commits_between_two_fetches
                undone_publishers_leave_no_hole
                a_message_may_commit_long_after_its_neighbours
                a_late_message_in_the_midst_of_a_batch
                interleaved_transactions_keep_their_own_order
                order_is_that_of_commits
                what_is_open_is_invisible_at_every_step
            }
            both leases {
                f3_concurrent_claims_never_overlap
                f3_concurrent_workers_settle_each_message_once
                a_lease_holds_to_its_end_and_no_longer
                an_expired_lease_is_redelivered_and_its_receipt_refused
                an_expired_lease_that_nobody_took_can_be_settled
                a_member_gets_its_own_expired_messages_again
                a_lease_can_be_extended
                a_lease_can_be_shortened
                extending_answers_for_each_receipt
                an_extension_must_be_a_valid_lease
                releasing_gives_back_at_once
                leaving_releases_what_is_in_hand
                leaving_releases_nothing_of_others
                dropping_a_member_is_a_crash
                attempts_count_failures_only
                a_fetch_keeps_to_its_limit
                what_is_in_hand_holds_up_nothing_else
                the_lease_of_the_subscription_is_used
                a_clock_that_stands_still_or_steps_back_loses_nothing
            }
            both lifecycle {
                a_group_that_never_subscribed_is_unknown
                a_paused_group_accumulates
                what_is_in_hand_settles_while_paused
                status_changes_are_dated
                a_cancellation_is_final
                a_cancelled_group_holds_nothing_back
                the_only_group_can_be_cancelled
                a_paused_group_can_be_cancelled
            }
            both liveness {
                a_backlog_drains_after_all_members_crashed
                f1_unreliable_workers_settle_everything_once
                maintenance_runs_out_of_work
                maintenance_may_run_anywhere_and_at_any_time
            }
            both members {
                joining_needs_a_live_subscription
                a_member_knows_its_subscription_and_name
                members_of_one_name_are_apart
                a_member_that_left_is_closed
                heartbeats_are_noted
                a_beat_tells_of_changes
            }
            both deliveries_across_modes {
                the_backlog_stays_and_new_messages_follow
                receipts_of_both_forms_stay_valid
                an_expired_lease_is_one_after_a_change
                publishers_may_hold_the_former_mode_open
                parked_messages_stay_parked
                a_blocked_lane_stays_blocked
                transactions_settle_across_a_change
                order_holds_across_changes
                what_is_out_of_order_stays_refused
                dead_letters_are_made_across
                one_member_takes_a_backlog_and_what_follows
            }
            both mode_changes {
                it_says_what_the_mode_is
                a_topic_must_exist
                what_is_left_is_told_per_group
                it_is_reversed_midway
                a_parked_message_is_left_of_neither_mode
                a_paused_group_keeps_what_is_left
                a_group_may_subscribe_at_any_point
                cancelling_concerns_both_modes
                queues_change_too
                figures_and_watermark_run_across
                f5_changes_of_the_mode_leave_required_sets_alone
                concurrent_changes_meet_everything_else
            }
            once modes {
                every_group_works_on_every_topic
                receipts_tell_what_accounts_for_a_message
                records_are_of_tracked_messages
                queues_work_in_either_mode
                one_transaction_spans_both_modes
                many_groups_of_both_kinds
            }
            both ordering {
                messages_of_a_key_are_delivered_in_order
                order_holds_over_many_fetches
                a_member_may_hold_several_messages_of_a_key
                what_is_behind_a_message_in_hand_goes_to_nobody_else
                settling_before_an_earlier_message_is_refused
                any_settlement_opens_the_way
                a_call_is_judged_in_the_order_of_delivery
                of_a_call_only_what_comes_too_early_is_refused
                a_key_waits_for_no_other
                a_released_message_keeps_its_place
                released_messages_come_back_in_order
                a_release_and_a_settlement_in_one_call_keep_order
                redelivery_keeps_order
                an_expired_message_comes_before_what_is_behind_it
                an_extended_lease_keeps_what_is_behind
                with_one_attempt_a_failure_opens_the_way
                groups_of_either_ordering_share_a_topic
                order_holds_from_before_a_pause_to_after
            }
            both parking {
                a_failed_message_lets_others_pass
                a_message_set_aside_has_no_place_any_more
                any_member_gets_a_message_set_aside
                failures_add_up_to_a_dead_letter
                its_receipt_serves_as_any_other
                a_member_that_leaves_gives_it_back
                a_whole_batch_may_be_set_aside
                what_is_set_aside_is_counted
                pausing_and_cancelling_concern_it_too
                it_can_be_settled_in_a_transaction
                what_is_set_aside_may_be_lost_and_found
            }
            both publishing {
                ids_increase
                ids_follow_the_order_of_the_batch
                every_topic_has_ids_of_its_own
                an_empty_batch_is_refused
                a_bad_message_fails_its_whole_batch
                a_batch_is_checked_before_its_topic
                messages_arrive_as_they_were_published
                large_payloads_arrive
                large_batches_arrive
                concurrent_publishers_share_no_id
                one_message_is_published_by_the_short_form
            }
            both queues {
                a_queue_has_its_subscription_from_the_start
                consumers_of_a_queue_share_its_messages
                a_queue_keeps_what_came_before_its_consumers
                groups_cannot_subscribe_to_a_queue
                joining_names_a_group_exactly_where_there_are_groups
                a_queue_can_be_paused_but_not_cancelled
            }
            both races {
                concurrent_subscribes_of_a_group_make_one
                concurrent_subscribes_after_a_cancellation_make_one
                a_cancellation_meets_publishers
                a_cancellation_meets_settlements
                a_pause_meets_fetches
                a_deletion_meets_publishers
                a_deletion_meets_an_open_publish
                changes_of_status_meet
                a_release_meets_other_members
                an_extension_meets_the_end_of_the_lease
                failures_of_a_message_count_once
            }
            both rebalance {
                what_a_silent_member_held_goes_to_others
                former_owners_settle_nothing_in_transactions
                a_silent_member_may_come_back
                a_crashed_members_share_is_taken_over
                a_leaving_members_share_goes_on_at_once
                more_members_than_lanes
                any_number_of_lanes
                settling_while_others_join
                f3_members_join_and_leave_under_load
                f3_members_vanish_under_load
                f2_order_holds_with_failures_under_load
            }
            tracked records {
                records_name_exactly_who_must_and_who_has
                records_can_be_read_in_pages
                f5_the_required_set_is_fixed_at_publish
                f5_a_cancellation_shrinks_by_that_group_only
                f5_a_cancellation_can_complete_a_message
                f5_a_group_that_settled_stays_completed_after_its_cancellation
                a_new_group_inherits_nothing_of_a_cancelled_one
                groups_of_order_stand_in_no_record
                a_start_in_the_past_is_added_to_records
                what_a_transaction_settled_is_kept_by_seeks_and_cancellations
                a_seek_changes_records
            }
            both seek {
                seeking_back_delivers_again
                seeking_forward_skips
                seeking_to_a_time
                the_subscription_stays_the_same
                what_is_in_hand_becomes_stale
                members_go_on_without_joining_anew
                a_paused_group_stays_paused
                who_is_not_live_cannot_be_moved
                a_queue_can_be_moved
                other_groups_are_not_concerned
                what_was_set_aside_is_forgotten
                attempts_are_counted_anew
                dead_letters_stay
                a_blocked_lane_is_free_again
                leases_of_before_end_nothing
                any_number_of_moves
                an_ordered_group_goes_on_in_order
            }
            both seek_races {
                a_transaction_of_before_settles_nothing
                a_committed_settlement_is_undone_by_it
                open_publishers_are_owed
                moves_meet_publishers_and_workers
                a_seek_and_a_cancellation_meet
            }
            both settling {
                each_verdict_has_its_outcome
                a_receipt_counts_once_in_a_call
                a_message_is_settled_once
                of_concurrent_settlements_one_takes_effect
                a_stale_receipt_keeps_no_other_from_its_effect
                settling_nothing_settles_nothing
                foreign_receipts_are_refused_with_all_of_their_call
                receipts_survive_serialisation
                any_member_of_the_group_may_settle
                a_failed_message_comes_back_when_it_is_due
                waits_are_spread_by_the_jitter
                without_a_wait_a_failed_message_is_due_at_once
                many_can_be_settled_in_one_call
            }
            both stalls {
                poison_is_found
                order_holds_around_poison
                a_lane_of_poison_comes_to_its_end
                poison_among_many_in_hand_is_found
                an_expired_lease_alone_gives_nothing_up
                a_slow_member_stalls_its_own_message
            }
            both starts {
                from_now_owes_nothing_of_before
                from_the_beginning_owes_everything
                from_a_message_owes_it_and_what_follows
                from_a_message_to_come_owes_all_that_follows
                from_a_time_owes_what_was_written_since
                a_time_is_the_first_message_of_then
                starts_on_an_empty_topic_are_all_alike
                subscribing_again_moves_nothing
                after_a_cancellation_any_start_counts
                a_start_in_the_past_concerns_no_other_group
                what_is_owed_from_the_past_keeps_a_topic
                a_paused_group_keeps_what_its_start_owes
                fetching_alone_finds_the_past
                a_long_past_drains
                past_and_present_keep_order
                invalid_options_are_refused_at_any_start
                open_publishers_are_owed_whatever_their_ids
                publishers_meet_starts_in_the_past
            }
            both subscribe_races {
                open_publish_then_subscribe_then_commit
                begin_then_subscribe_then_publish_then_commit
                open_publish_then_subscribe_then_rollback
                publish_on_both_sides_of_a_subscribe
                fetching_alone_finds_what_commits_late
                several_groups_subscribe_while_a_publish_is_open
                a_cancelled_groups_next_subscription_meets_an_open_publish
                f5_what_commits_after_a_subscribe_is_owed_and_nothing_before
            }
            both subscribing {
                subscribing_makes_an_active_subscription
                every_option_round_trips
                invalid_options_are_refused
                subscribing_after_a_cancellation_starts_anew
                subscriptions_are_listed_by_group_and_age
                subscribing_again_moves_nothing
                subscribing_again_applies_options
                members_follow_new_options
                the_ordering_of_a_live_subscription_is_fixed
                subscribing_resumes_a_paused_group
                groups_have_a_bit_each
            }
            both topic_deletion {
                deleting_is_refused_while_messages_are_owed
                one_group_that_owes_is_enough_to_refuse
                a_settled_topic_can_be_deleted
                a_forced_deletion_takes_everything
                a_recreated_topic_starts_empty
            }
            once topics {
                what_is_created_can_be_read
                every_field_of_a_configuration_round_trips
                invalid_configurations_are_refused
                an_update_changes_what_it_names
                an_invalid_update_changes_nothing
                a_name_is_taken_once
                every_call_on_an_unknown_topic_says_so
                any_valid_name_works
                topics_are_listed_in_byte_order
                of_concurrent_creations_one_wins
            }
            tracked tracked_stalls {
                too_many_expired_leases_are_poison
            }
            both transactional_conflicts {
                of_two_transactions_one_commits
                when_the_first_transaction_rolls_back_the_second_may_settle
                of_two_holders_of_a_message_one_commits
                of_many_transactions_one_commits
                overlapping_batches_do_not_deadlock
                an_open_settlement_makes_nobody_else_wait
                a_lease_may_end_inside_a_transaction
                a_cancellation_meets_an_open_settlement
                every_input_has_its_effect_once
                a_plain_settlement_meets_an_undone_one
            }
            both transactional_ordering {
                a_transaction_settles_in_order
                an_open_settlement_does_not_open_the_way
                a_committed_settlement_opens_the_way
            }
            both transactional_publishing {
                nothing_is_delivered_before_the_commit
                nothing_remains_after_a_rollback
                dropping_a_transaction_undoes_it
                commits_out_of_the_order_of_ids_lose_nothing
                concurrent_transactions_lose_nothing
                a_transaction_may_publish_often_and_anywhere
                a_message_is_dated_when_it_is_published
                a_bad_batch_fails_in_a_transaction_too
                an_open_publish_makes_nobody_wait
                work_that_succeeds_is_committed
                work_that_fails_is_undone
                work_that_panics_is_undone
            }
            both transactional_settling {
                a_commit_settles
                a_rollback_restores_everything
                dropping_the_transaction_restores_everything
                settling_nothing_is_fine
                one_stale_receipt_refuses_all
                every_kind_of_stale_receipt_is_refused
                what_another_has_by_now_is_stale_whatever_its_order
                receipts_of_several_groups_are_refused
                receipts_of_what_is_gone_are_refused
                consuming_and_producing_is_one_step
                an_expired_lease_that_nobody_took_settles
                work_that_fails_settles_nothing
            }
            both watermark {
                a_new_topic_is_settled_up_to_nothing
                it_follows_the_slowest_group
                a_gap_in_what_is_settled_holds_it
                without_groups_what_is_decided_counts
                a_cancelled_group_does_not_hold_it
                a_paused_group_holds_it
                what_is_set_aside_holds_it
                a_blocked_lane_holds_it
                it_falls_for_a_start_in_the_past
                it_falls_for_a_seek
                queues_have_one_too
                topics_have_one_each
            }
            both watermark_races {
                an_open_publisher_holds_it
                undone_publishers_are_decided
                a_commit_settles_for_it
                it_is_monotone_and_true_at_every_step
                c1_it_is_monotone_and_true_under_load
            }
            both zero_subscriptions {
                f6_writes_are_blocked_with_an_error_of_their_own
                f6_writes_in_transactions_are_blocked_when_they_are_made
                f6_a_paused_group_keeps_a_topic_open
                f6_the_last_cancellation_blocks_again
                f6_blocking_follows_the_configuration
                without_blocking_messages_are_owed_to_nobody
                f6_queues_never_block
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __expand {
    ([tests $harness:expr] $($modes:ident $family:ident { $($case:ident)* })*) => {
        $(mod $family {
            #[allow(unused_imports, reason = "the harness expression may need what is around it")]
            use super::*;

            $crate::__in_modes! { $modes $harness, $family { $($case)* } }
        })*
    };
    ([cases] $($modes:ident $family:ident { $($case:ident)* })*) => {
        $(#[allow(missing_docs, reason = "the names say it, and the cases in detail")]
        pub mod $family {
            $(pub async fn $case<H: $crate::Harness>(harness: H, mode: $crate::CompletionMode) {
                let name = concat!(stringify!($family), "::", stringify!($case));
                let case = async {
                    let fixture = $crate::stage::Fixture::new(harness, mode).await;
                    $crate::families::$family::$case(&fixture).await;
                };
                $crate::stage::guarded(name, case).await;
            })*
        })*
    };
}

/// The tests of a family, in the modes that it runs in.
#[doc(hidden)]
#[macro_export]
macro_rules! __in_modes {
    (both $harness:expr, $family:ident $cases:tt) => {
        $crate::__in_modes! { tracked $harness, $family $cases }
        mod offset_watermark {
            #[allow(
                unused_imports,
                reason = "the harness expression may need what is around it"
            )]
            use super::*;
            $crate::__tests! { OffsetWatermark $harness, $family $cases }
        }
    };
    (tracked $harness:expr, $family:ident $cases:tt) => {
        mod reference_counting {
            #[allow(
                unused_imports,
                reason = "the harness expression may need what is around it"
            )]
            use super::*;
            $crate::__tests! { ReferenceCounting $harness, $family $cases }
        }
    };
    (once $harness:expr, $family:ident $cases:tt) => {
        $crate::__tests! { ReferenceCounting $harness, $family $cases }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($mode:ident $harness:expr, $family:ident { $($case:ident)* }) => {
        $(#[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::cases::$family::$case($harness, $crate::CompletionMode::$mode).await;
        })*
    };
}

/// Every case over any engine, in a module per family.
pub mod cases {
    crate::__each_case! { [cases] }
}
